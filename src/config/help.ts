import { flagOf, SETTINGS, type Setting } from './settings.js'

const WIDTH = 100
const INDENT = '      '

/** What `tributary --help` prints. */
export function helpText(): string {
  return `Tributary: a resumable-upload server (tus 1.0.0).

Usage: tributary <command> [flags]

Commands:
  serve      Runs the server until SIGTERM or SIGINT, which end running requests at a recorded offset.
  migrate    Brings the database up to date and exits.
  sweep      Removes expired uploads and what crashes left over, once, and exits.

  -h, --help       Shows this text.
  -v, --version    Shows the version.

Settings, as environment variables or as flags, which win:
${SETTINGS.map(entry).join('\n')}`
}

function entry(setting: Setting): string {
  const without = setting.default ?? setting.unset ?? 'none'
  const heading = `  ${setting.name}, ${flagOf(setting.name)}  [${without.replaceAll('`', '')}]`
  return [heading, ...wrap(setting.description.replaceAll('`', ''))].join('\n')
}

function wrap(text: string): string[] {
  const lines: string[] = []
  let line = INDENT
  for (const word of text.split(' ')) {
    if (line.length + word.length > WIDTH) {
      lines.push(line.trimEnd())
      line = INDENT
    }
    line += `${word} `
  }
  return [...lines, line.trimEnd()]
}
