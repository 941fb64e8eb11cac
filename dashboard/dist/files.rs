// Made by `npm run build` in dashboard/.
&[
    File { path: "assets/index-DPVhsRh9.js", kind: "text/javascript; charset=utf-8", etag: "\"4885481c6edf0cdb\"", is_hashed: true, gzip: include_bytes!("assets/index-DPVhsRh9.js.gz") },
    File { path: "assets/index-Hyks1U8Z.css", kind: "text/css; charset=utf-8", etag: "\"b9c43c562eefe586\"", is_hashed: true, gzip: include_bytes!("assets/index-Hyks1U8Z.css.gz") },
    File { path: "icon.svg", kind: "image/svg+xml", etag: "\"99a9a041cfe17949\"", is_hashed: false, gzip: include_bytes!("icon.svg.gz") },
    File { path: "index.html", kind: "text/html; charset=utf-8", etag: "\"6ad57bfb83877a14\"", is_hashed: false, gzip: include_bytes!("index.html.gz") },
]
