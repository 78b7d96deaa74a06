import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Missing } from './missing.mjs'

const execute = promisify(execFile)
const LONGEST_OUTPUT = 64 * 1024 * 1024
/** So many of a failed tool's last lines are quoted. */
const QUOTED = 3

/** Resolves with what a tool printed, on stderr too: some tell their version there. Missing when it is not there. */
export async function runTool(command, args, options = {}) {
  try {
    const { stdout, stderr } = await execute(command, args, { maxBuffer: LONGEST_OUTPUT, ...options })
    return stdout + stderr
  } catch (error) {
    if (error.code === 'ENOENT') throw new Missing(`${command} is not installed`, { cause: error })
    const said = lastLines(error.stderr || error.stdout || error.message)
    throw new Error(`${[command, ...args].join(' ')} failed: ${said}`, { cause: error })
  }
}

function lastLines(text) {
  const lines = text.split('\n').map((line) => line.trim())
  return lines.filter(Boolean).slice(-QUOTED).join(' / ')
}
