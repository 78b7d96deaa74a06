import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from './free-port.mjs'
import { Missing } from './missing.mjs'
import { runTool } from './run-tool.mjs'
import { startServer } from './start-server.mjs'

/**
 * Uploads grow in the first and are renamed into their place, hence on the same file system. The others hold nothing, but
 * are made at the start, and by default where not everybody may.
 */
const TEMPORARY = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']

export const nginx = {
  name: 'nginx',
  title: 'nginx, PUT (C)',
  speaks: new Set(['put']),
  syncs: false,

  async prepare() {
    const about = await runTool('nginx', ['-V'])
    if (!about.includes('http_dav_module')) throw new Missing('nginx was built without its dav module')
    return { version: /nginx\/(\S+)/.exec(about)?.[1] ?? 'unknown' }
  },

  async start({ directory }) {
    const port = await freePort()
    await Promise.all(['files', 'temp'].map((name) => mkdir(join(directory, name))))
    const config = join(directory, 'nginx.conf')
    await writeFile(config, configuration(directory, port))
    const args = ['-p', directory, '-c', config]
    const { pid, stop } = await startServer({ command: 'nginx', args, port })
    return { url: `http://127.0.0.1:${port}`, roots: [pid], database: [], stop }
  },
}

function configuration(directory, port) {
  const temporary = TEMPORARY.map((name) => `${name}_temp_path "${join(directory, 'temp', name)}";`)
  // Workers of root's nginx would be nobody's, who may not enter the directory.
  const user = process.getuid() === 0 ? 'user root;' : '# The user who runs the benchmark.'
  return `
daemon off;
${user}
worker_processes auto;
pid "${join(directory, 'nginx.pid')}";
error_log stderr crit;
events {}
http {
  access_log off;
  ${temporary.join('\n  ')}
  server {
    listen 127.0.0.1:${port};
    root "${join(directory, 'files')}";
    client_max_body_size 0;
    dav_methods PUT;
  }
}
`
}
