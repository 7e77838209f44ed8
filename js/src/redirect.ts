/** How many redirects in a row are followed. */
const maxMoves = 5

/** Returns where a redirect leads (RFC 9110, section 15.4), or undefined if it is none that is followed. */
export function moved(status: number, location: string | null, from: string, moves: number): string | undefined {
  if (![301, 302, 303, 307, 308].includes(status) || !location || moves >= maxMoves || !URL.canParse(location, from)) return undefined
  const to = new URL(location, from)
  return to.protocol === 'https:' || to.protocol === new URL(from).protocol ? to.href : undefined
}
