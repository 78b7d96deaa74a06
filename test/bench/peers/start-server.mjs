import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Milliseconds. The longest start is a database that is made anew, the longest stop a drain of Tributary's. */
const START_PATIENCE = 60_000
const STOP_PATIENCE = 60_000
const BETWEEN_TRIES = 20
/** Characters kept of what a server says, to quote them should it end. */
const LAST_WORDS = 1000

/**
 * Starts a server and resolves with its pid and `stop` once its port of 127.0.0.1 answers. It sees nothing of the
 * caller's environment but `env`, PATH and HOME, so that settings somebody exported for himself change no figure.
 * It leads a process group of its own, so that none of its children can outlive `stop`.
 */
export async function startServer({ command, args, port, env }) {
  const { PATH, HOME } = process.env
  const stdio = ['ignore', 'pipe', 'pipe']
  const child = spawn(command, args, { env: { PATH, HOME, ...env }, stdio, detached: true })
  const lastWords = hear(child)
  const ended = once(child, 'exit')
  const broken = ended.then(([code, signal]) => {
    throw new Error(`${command} ended with ${signal ?? code}: ${lastWords()}`)
  })
  broken.catch(() => undefined)
  // Ctrl-C does not reach another process group, so whatever makes this process leave takes the servers along.
  const leave = () => child.kill('SIGTERM')
  process.on('exit', leave)
  const stop = async () => {
    child.kill('SIGTERM')
    await end(child, ended)
    process.off('exit', leave)
  }
  try {
    await Promise.race([untilAnswers(port, child), broken])
  } catch (error) {
    await stop()
    throw error
  }
  return { pid: child.pid, stop }
}

/** A full pipe would block the server, so both are read although nobody may ask for the words. */
function hear(child) {
  let words = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      words = (words + text).slice(-LAST_WORDS)
    })
  }
  return () => words.trim()
}

async function untilAnswers(port, child) {
  const deadline = performance.now() + START_PATIENCE
  while (child.exitCode === null && child.signalCode === null) {
    if (await answers(port)) return
    if (performance.now() > deadline) throw new Error(`nobody answers at port ${port}`)
    await sleep(BETWEEN_TRIES)
  }
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}

async function end(child, ended) {
  // Not started at all: nothing to end.
  if (child.pid === undefined) return
  const patience = new AbortController()
  const tired = sleep(STOP_PATIENCE, undefined, { signal: patience.signal }).catch(() => undefined)
  await Promise.race([ended, tired])
  patience.abort()
  signalGroup(child.pid)
  await ended
  for (const stream of [child.stdout, child.stderr]) stream.destroy()
}

function signalGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    // Nobody is left in it.
    if (error.code !== 'ESRCH') throw error
  }
}
