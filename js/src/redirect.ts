/** The most redirects in a row that are followed. */
const maxMoves = 5

/**
 * Returns the target of a redirect (RFC 9110, section 15.4), or undefined if it
 * is not to be followed.
 */
export function moved(status: number, location: string | null, from: string, moves: number): string | undefined {
  if (![301, 302, 303, 307, 308].includes(status) || !location || moves >= maxMoves || !URL.canParse(location, from)) return undefined
  const to = new URL(location, from)
  return to.protocol === 'https:' || to.protocol === new URL(from).protocol ? to.href : undefined
}
