import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from './free-port.mjs'
import { installOnce } from './install-once.mjs'
import { Missing } from './missing.mjs'
import { runTool } from './run-tool.mjs'
import { startServer } from './start-server.mjs'

const VERSION = '0.1.4'
const PROJECT = fileURLToPath(new URL('frago', import.meta.url))
const REQUIREMENTS = join(PROJECT, 'requirements.txt')
/** The first that is there is taken. Django 3.2 needs a module that 3.13 no longer has, and what is pinned wants 3.10. */
const PYTHONS = ['python3.11', 'python3.12', 'python3.10', 'python3']
const FITS = /^Python 3\.1[012]\./
/** Seconds. A worker that is not heard of for so long is killed, and finishing a large upload takes minutes. */
const TIMEOUT = '3600'
const WORKERS = '2'
const APPLICATION = 'django.core.wsgi:get_wsgi_application()'
const home = (tools) => join(tools, `frago-${VERSION}`)
const python = (tools) => join(home(tools), 'bin', 'python')

export const frago = {
  name: 'frago',
  title: 'frago (Django)',
  speaks: new Set(['frago']),
  syncs: false,

  async prepare(tools) {
    const requirements = await readFile(REQUIREMENTS, 'utf8')
    await installOnce(home(tools), requirements, async () => {
      await runTool(await fittingPython(), ['-m', 'venv', home(tools)])
      await runTool(python(tools), ['-m', 'pip', 'install', '--quiet', '-r', REQUIREMENTS])
    })
    const pinned = (name) => new RegExp(`^${name}==(\\S+)$`, 'm').exec(requirements)?.[1]
    return { version: `${VERSION} with Django ${pinned('Django')} and gunicorn ${pinned('gunicorn')}` }
  },

  async start({ tools, directory }) {
    const port = await freePort()
    await mkdir(join(directory, 'spool'))
    const env = {
      BENCH_DIRECTORY: directory,
      DJANGO_SETTINGS_MODULE: 'settings',
      PYTHONPATH: PROJECT,
      // The settings lie in the repository, which is no place for compiled files.
      PYTHONDONTWRITEBYTECODE: '1',
    }
    // The package has no migrations, so its tables are made from its models.
    const migrate = ['-m', 'django', 'migrate', '--run-syncdb', '--verbosity', '0']
    await runTool(python(tools), migrate, { env })
    const options = ['--bind', `127.0.0.1:${port}`, '--workers', WORKERS, '--timeout', TIMEOUT]
    // Else the port answers before the workers have read the application, and the first requests would pay for that.
    const args = ['-m', 'gunicorn', ...options, '--preload', '--log-level', 'error', APPLICATION]
    const { pid, stop } = await startServer({ command: python(tools), args, port, env })
    const base = `http://127.0.0.1:${port}/upload`
    return { url: base, frago: base, roots: [pid], database: [], stop }
  },
}

async function fittingPython() {
  for (const command of PYTHONS) {
    const version = await runTool(command, ['--version']).catch(() => '')
    if (FITS.test(version)) return command
  }
  throw new Missing('frago needs a Python from 3.10 to 3.12, and there is none')
}
