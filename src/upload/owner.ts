/** In characters, as in frago. */
export const LONGEST_OWNER = 200

/**
 * Whether a text can name an owner. Control characters would break lines of logs and lists, and of two lone surrogates
 * a database makes the same character.
 */
export function isOwner(text: string): boolean {
  return text !== '' && [...text].length <= LONGEST_OWNER && !/[\p{Cc}\p{Cs}]/u.test(text)
}
