import type { Mortal } from './mortal.js'

type Method = (...args: readonly unknown[]) => unknown

/**
 * A port whose process may die before and after each call of the given methods. Its other methods pass, as long as
 * the process lives; those that give no promise pass always.
 */
export function mortalPort<Port extends object>(
  port: Port,
  mortal: Mortal,
  steps: readonly (keyof Port & string)[],
  looks: readonly (keyof Port & string)[],
): Port {
  const names: readonly string[] = steps
  const seen: readonly string[] = looks
  return new Proxy(port, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      const method = member as Method
      if (typeof name === 'string' && names.includes(name)) {
        return (...args: readonly unknown[]) =>
          mortal.step(name, () => Promise.resolve(method.apply(target, [...args])))
      }
      if (typeof name === 'string' && seen.includes(name)) {
        return (...args: readonly unknown[]) =>
          mortal.look(() => Promise.resolve(method.apply(target, [...args])))
      }
      return method.bind(target)
    },
  })
}
