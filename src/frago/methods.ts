/** What both addresses understand; frago says so in each answer. */
export const METHODS = ['GET', 'POST', 'PUT', 'HEAD', 'OPTIONS'] as const

export type Method = (typeof METHODS)[number]

export function isMethod(text: string): text is Method {
  return (METHODS as readonly string[]).includes(text)
}
