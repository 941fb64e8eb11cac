import { svelte } from '@sveltejs/vite-plugin-svelte';
import { gzipSync } from 'fflate';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'vite';

/** Leaves one form of every file, compressed, and a list of them that the gateway is built with. */
function embed(): Plugin {
  const types: Record<string, string> = {
    html: 'text/html; charset=utf-8',
    js: 'text/javascript; charset=utf-8',
    css: 'text/css; charset=utf-8',
    svg: 'image/svg+xml',
  };
  const files = (folder: string, below = ''): string[] =>
    readdirSync(join(folder, below), { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? files(folder, join(below, entry.name)) : [join(below, entry.name)],
    );
  return {
    name: 'embed',
    apply: 'build',
    writeBundle() {
      const rows = files('dist').sort().map((path) => {
        const content = readFileSync(join('dist', path));
        const etag = createHash('sha256').update(content).digest('hex').slice(0, 16);
        // No time and no name within: the same content gives the same bytes on every machine.
        writeFileSync(join('dist', `${path}.gz`), gzipSync(content, { level: 9, mtime: '1980-01-01' }));
        rmSync(join('dist', path));
        const type = types[path.split('.').pop() ?? ''] ?? 'application/octet-stream';
        const hashed = path.startsWith('assets/');
        return `    File { path: ${JSON.stringify(path)}, kind: ${JSON.stringify(type)}, etag: "\\"${etag}\\"", is_hashed: ${hashed}, gzip: include_bytes!(${JSON.stringify(`${path}.gz`)}) },\n`;
      });
      writeFileSync(join('dist', 'files.rs'), `// Made by \`npm run build\` in dashboard/.\n&[\n${rows.join('')}]\n`);
    },
  };
}

export default defineConfig({
  base: '/ui/',
  plugins: [svelte(), embed()],
  build: { target: 'es2022', modulePreload: { polyfill: false }, assetsInlineLimit: 0, reportCompressedSize: false },
  server: { proxy: { '/tollgate': 'http://127.0.0.1:9180', '/apisix': 'http://127.0.0.1:9180' } },
});
