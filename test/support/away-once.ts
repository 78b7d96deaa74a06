import { UploadError } from '../../src/upload/errors.js'

type Method = (...args: readonly unknown[]) => unknown

/** A registry whose database is away for the first call of one method. */
export function awayOnce<Port extends object>(port: Port, name: keyof Port & string): Port {
  let away = true
  return new Proxy(port, {
    get: (target, property) => {
      const member: unknown = Reflect.get(target, property, target)
      if (typeof member !== 'function') return member
      if (property !== name || !away) return (member as Method).bind(target)
      away = false
      return () => Promise.reject(new UploadError('registry_unavailable', 'The database is away.'))
    },
  })
}
