/** A peer that cannot run on this machine. The message is for people, and says what is not there. */
export class Missing extends Error {
  name = 'Missing'
}
