// Made by `npm run build` in dashboard/.
&[
    File { path: "assets/index-BVZj-vxD.js", kind: "text/javascript; charset=utf-8", etag: "\"f3e59f7dc4eebcc3\"", is_hashed: true, gzip: include_bytes!("assets/index-BVZj-vxD.js.gz") },
    File { path: "assets/index-Lou6KUgr.css", kind: "text/css; charset=utf-8", etag: "\"6f59cbaed64ef270\"", is_hashed: true, gzip: include_bytes!("assets/index-Lou6KUgr.css.gz") },
    File { path: "icon.svg", kind: "image/svg+xml", etag: "\"99a9a041cfe17949\"", is_hashed: false, gzip: include_bytes!("icon.svg.gz") },
    File { path: "index.html", kind: "text/html; charset=utf-8", etag: "\"f615dce70d2594e7\"", is_hashed: false, gzip: include_bytes!("index.html.gz") },
]
