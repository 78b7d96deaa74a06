import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const OWN = fileURLToPath(new URL('../recordings/frago', import.meta.url))
/** Where the recordings come from; a clone alone has only the copy. */
const SHARED = fileURLToPath(new URL('../../../shared/frago', import.meta.url))

/** The recordings of the real frago 0.1.4, and the program that replays them. */
export const RECORDINGS = existsSync(join(SHARED, 'replay.mjs')) ? SHARED : OWN

export type RecordingKind = 'KEEP' | 'FIX'

/** How many scenarios there are of a kind under a profile. */
export function scenariosOf(profile: string, kind: RecordingKind): number {
  const directory = join(RECORDINGS, 'transcripts')
  const scenarios = readdirSync(directory).map(
    (name) =>
      JSON.parse(readFileSync(join(directory, name), 'utf8')) as {
        kind?: string
        settings: { name: string }
      },
  )
  return scenarios.filter((each) => each.settings.name === profile && (each.kind ?? 'KEEP') === kind).length
}

/** Replays all scenarios of a kind against a server; FIX ones are to be answered the corrected way. */
export function replay(
  base: string,
  profile: string,
  kind: RecordingKind,
): Promise<{ code: number; output: string }> {
  const args = [join(RECORDINGS, 'replay.mjs'), '--base', base, '--settings', profile, '--quiet']
  if (kind === 'FIX') args.push('--fixed')
  return new Promise((resolve) => {
    execFile(process.execPath, args, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({ code, output: stdout + stderr })
    })
  })
}
