// Made by `npm run build` in dashboard/.
&[
    File { path: "assets/index-CKwlLZDo.js", kind: "text/javascript; charset=utf-8", etag: "\"3fd44652fd0b79a1\"", is_hashed: true, gzip: include_bytes!("assets/index-CKwlLZDo.js.gz") },
    File { path: "assets/index-DAps12yP.css", kind: "text/css; charset=utf-8", etag: "\"bbe459c399dad961\"", is_hashed: true, gzip: include_bytes!("assets/index-DAps12yP.css.gz") },
    File { path: "icon.svg", kind: "image/svg+xml", etag: "\"99a9a041cfe17949\"", is_hashed: false, gzip: include_bytes!("icon.svg.gz") },
    File { path: "index.html", kind: "text/html; charset=utf-8", etag: "\"2f1b1d906f81d703\"", is_hashed: false, gzip: include_bytes!("index.html.gz") },
]
