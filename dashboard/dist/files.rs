// Made by `npm run build` in dashboard/.
&[
    File { path: "assets/index-C1e7ZOGi.js", kind: "text/javascript; charset=utf-8", etag: "\"02471dfa8b14db9d\"", is_hashed: true, gzip: include_bytes!("assets/index-C1e7ZOGi.js.gz") },
    File { path: "assets/index-DAps12yP.css", kind: "text/css; charset=utf-8", etag: "\"bbe459c399dad961\"", is_hashed: true, gzip: include_bytes!("assets/index-DAps12yP.css.gz") },
    File { path: "icon.svg", kind: "image/svg+xml", etag: "\"99a9a041cfe17949\"", is_hashed: false, gzip: include_bytes!("icon.svg.gz") },
    File { path: "index.html", kind: "text/html; charset=utf-8", etag: "\"575343da2e1636b9\"", is_hashed: false, gzip: include_bytes!("index.html.gz") },
]
