// Made by `npm run build` in dashboard/.
&[
    File { path: "assets/index-BVSQa6_G.js", kind: "text/javascript; charset=utf-8", etag: "\"aacb42bac5c4f40b\"", is_hashed: true, gzip: include_bytes!("assets/index-BVSQa6_G.js.gz") },
    File { path: "assets/index-Hyks1U8Z.css", kind: "text/css; charset=utf-8", etag: "\"b9c43c562eefe586\"", is_hashed: true, gzip: include_bytes!("assets/index-Hyks1U8Z.css.gz") },
    File { path: "icon.svg", kind: "image/svg+xml", etag: "\"99a9a041cfe17949\"", is_hashed: false, gzip: include_bytes!("icon.svg.gz") },
    File { path: "index.html", kind: "text/html; charset=utf-8", etag: "\"6c66a372fa070cac\"", is_hashed: false, gzip: include_bytes!("index.html.gz") },
]
