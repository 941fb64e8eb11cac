// Made by `npm run build` in dashboard/.
&[
    File { path: "assets/index-C8KF5msI.js", kind: "text/javascript; charset=utf-8", etag: "\"7c2784fad74eb695\"", is_hashed: true, gzip: include_bytes!("assets/index-C8KF5msI.js.gz") },
    File { path: "assets/index-Doktebv5.css", kind: "text/css; charset=utf-8", etag: "\"8365ba8e42882306\"", is_hashed: true, gzip: include_bytes!("assets/index-Doktebv5.css.gz") },
    File { path: "icon.svg", kind: "image/svg+xml", etag: "\"99a9a041cfe17949\"", is_hashed: false, gzip: include_bytes!("icon.svg.gz") },
    File { path: "index.html", kind: "text/html; charset=utf-8", etag: "\"4c245cb4560e3882\"", is_hashed: false, gzip: include_bytes!("index.html.gz") },
]
