// Positions: how far the data of a cluster goes. openapi/vectors/positions.json
// tests these rules.

export const header = 'Trackway-Position'

/** The number of a log, and the index of an entry in it. */
const numbers = (text = '') => /^(0|[1-9]\d{0,19})\.(0|[1-9]\d{0,19})$/.exec(text)

export const isPosition = (text: string) => !!numbers(text)

/** Whether a position is later than another one, or of another log. */
function later(a: RegExpExecArray, b: RegExpExecArray | null): boolean {
  const [, log, index] = a
  return log !== b?.[1] || index!.length > b![2]!.length || (index!.length === b![2]!.length && index! > b![2]!)
}

/**
 * The position that a client holds: a server that has reached it shows
 * everything that the client knows of.
 */
export interface Place {
  held: string
  /**
   * Notes the position of an answer. sent is what was held when the request was
   * sent. stored says that the server has stored something of it: that comes
   * after all that was known before. If its position does not, the cluster has
   * lost that part of its log.
   */
  learn(answer: string | null, sent?: string, stored?: boolean): void
}

export const newPlace = (held = ''): Place => ({
  held,
  learn(answer, sent, stored) {
    const found = numbers(answer!)
    if (found && (later(found, numbers(this.held)) || (stored && sent && this.held === sent))) this.held = answer!
  },
})
