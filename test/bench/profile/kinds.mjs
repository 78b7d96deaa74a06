/**
 * What a function belongs to, by where its source lies; the first that fits. Functions of C++ have no source and count for whoever
 * called them, so that a `writev` is a file's or a socket's.
 */
const KINDS = [
  [
    'log',
    /\/node_modules\/(pino|sonic-boom|quick-format-unescaped|safe-stable-stringify)\/|\/dist\/src\/(http\/log-requests|command\/(gathered-lines|stderr-log))/,
  ],
  ['files', /node:(fs|internal\/fs)|\/dist\/stores\/disk\//],
  [
    'database client',
    /\/node_modules\/(pg|pg-[a-z]+|postgres-[a-z]+|knex|tarn)\/|\/dist\/stores\/postgres\//,
  ],
  ['hashing', /node:(crypto|internal\/crypto)/],
  [
    'HTTP and sockets',
    /node:(_http|http|net|internal\/(http|streams?|stream_base|net|url)|_stream|stream|events)/,
  ],
  ['Tributary itself', /\/dist\/(src|stores)\//],
  ['other packages', /\/node_modules\//],
]

/** Names that V8 gives to what is no function. What it calls a program is all that runs between two calls into JavaScript. */
const SPECIAL = new Map([
  ['(garbage collector)', 'garbage collection'],
  ['(program)', 'kernel and libuv'],
  ['(idle)', 'idle'],
])

const REST = 'Node otherwise'

export function kindOf({ functionName, url }, callersKind) {
  const special = SPECIAL.get(functionName)
  if (special !== undefined) return special
  if (url === '') return callersKind ?? REST
  return KINDS.find(([, pattern]) => pattern.test(url))?.[0] ?? REST
}
