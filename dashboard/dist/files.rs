// Made by `npm run build` in dashboard/.
&[
    File { path: "assets/index-BmVQ48A6.css", kind: "text/css; charset=utf-8", etag: "\"ad0a42d3bca28398\"", is_hashed: true, gzip: include_bytes!("assets/index-BmVQ48A6.css.gz") },
    File { path: "assets/index-C6JbxR3l.js", kind: "text/javascript; charset=utf-8", etag: "\"eee51b1c48eb612b\"", is_hashed: true, gzip: include_bytes!("assets/index-C6JbxR3l.js.gz") },
    File { path: "icon.svg", kind: "image/svg+xml", etag: "\"99a9a041cfe17949\"", is_hashed: false, gzip: include_bytes!("icon.svg.gz") },
    File { path: "index.html", kind: "text/html; charset=utf-8", etag: "\"ae6dae06f08380f8\"", is_hashed: false, gzip: include_bytes!("index.html.gz") },
]
