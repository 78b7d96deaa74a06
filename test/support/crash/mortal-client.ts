import type { S3Client } from '@aws-sdk/client-s3'
import type { Mortal } from './mortal.js'

/** Commands that only look. All others change something, and may be carried out without their sender hearing of it. */
const LOOKS = /^(?:Get|Head|List)/

type Send = (command: { readonly constructor: { readonly name: string } }) => Promise<unknown>

/** A client whose process, once it lives, may die before and after each request. */
export function mortalClient(client: S3Client, life: { mortal: Mortal | null }): S3Client {
  const send: Send = client.send.bind(client) as unknown as Send
  return new Proxy(client, {
    get: (target, name) => {
      if (name !== 'send') return Reflect.get(target, name, target)
      return async (command: Parameters<Send>[0]) => {
        const { mortal } = life
        if (mortal === null) return send(command)
        const act = () => send(command)
        const what = command.constructor.name
        try {
          return await (LOOKS.test(what) ? mortal.look(act) : mortal.step(what, act))
        } catch (error) {
          // The dead do not try again, which would only take time.
          throw mortal.death === null ? error : Object.assign(error as Error, { $fault: 'client' })
        }
      }
    },
  })
}
