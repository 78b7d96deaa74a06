import type { IncomingHttpHeaders } from 'node:http'
import { RequestError } from '../http/errors.js'
import type { Verb } from './listeners.js'

export const METHODS: readonly Verb[] = ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE', 'OPTIONS']

/**
 * tus 1.0.0: X-HTTP-Method-Override "MUST be interpreted as the request's method by the Server, if the header is
 * presented. The actual method of the request MUST be ignored." It is for clients that can only GET and POST.
 */
export function effectiveMethod(method: string, headers: IncomingHttpHeaders): string {
  const override = headers['x-http-method-override']
  return override === undefined || override === '' ? method : String(override)
}

export function verbOf(method: string): Verb {
  const verb = METHODS.find((each) => each === method)
  if (verb !== undefined) return verb
  throw new RequestError(
    'method_not_allowed',
    `Neither a method nor X-HTTP-Method-Override may be anything but ${METHODS.join(', ')} here.`,
  )
}
