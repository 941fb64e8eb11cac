// Made by `npm run build` in dashboard/.
&[
    File { path: "assets/index-DAps12yP.css", kind: "text/css; charset=utf-8", etag: "\"bbe459c399dad961\"", is_hashed: true, gzip: include_bytes!("assets/index-DAps12yP.css.gz") },
    File { path: "assets/index-Dj4ihjyj.js", kind: "text/javascript; charset=utf-8", etag: "\"706a2892e07294ac\"", is_hashed: true, gzip: include_bytes!("assets/index-Dj4ihjyj.js.gz") },
    File { path: "icon.svg", kind: "image/svg+xml", etag: "\"99a9a041cfe17949\"", is_hashed: false, gzip: include_bytes!("icon.svg.gz") },
    File { path: "index.html", kind: "text/html; charset=utf-8", etag: "\"906b026dfdd1aff8\"", is_hashed: false, gzip: include_bytes!("index.html.gz") },
]
