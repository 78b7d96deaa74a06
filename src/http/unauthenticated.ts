import { RequestError } from './errors.js'

/** The words of Django REST framework's token authentication, which clients of frago show their users. */
export const UNAUTHENTICATED = {
  missing: 'Authentication credentials were not provided.',
  empty: 'Invalid token header. No credentials provided.',
  spaces: 'Invalid token header. Token string should not contain spaces.',
  invalid: 'Invalid token.',
} as const

export class Unauthenticated extends RequestError {
  constructor(reason: keyof typeof UNAUTHENTICATED) {
    super('unauthenticated', UNAUTHENTICATED[reason])
    this.name = 'Unauthenticated'
  }
}
