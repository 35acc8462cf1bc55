/** Which of a checkpoint's agreements join the encoder's input while it is probed. */
import { StrataError } from '../../errors.js'
import { type AgreementConfig, readModelFolder } from '../../model/index.js'
import { shownValue } from '../../shown-value.js'
import type { ProbeReport } from './probe-report.js'

/** Relations that the encoder gets, and those that it does without. */
export function relationsOf({ relations, off = [] }: AgreementConfig): NonNullable<ProbeReport['agreements']> {
  return { on: relations.filter((name) => !off.includes(name)), off: relations.filter((name) => off.includes(name)) }
}

/** The checkpoint's agreements with these relations alone, none: null. Throws BAD_ARGUMENT for those that it was not trained with. */
export async function chosenAgreements(folder: string, chosen: readonly string[]) {
  const own = (await readModelFolder(folder)).config.agreements
  if (!own) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `agreements came as ${shownValue(chosen)}, but ${folder} has no agreements; leave the option out`,
    )
  }
  const { on } = relationsOf(own)
  const unknown = chosen.find((name) => !on.includes(name))
  if (unknown !== undefined) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `agreements name ${shownValue(unknown)}, expected some of ${on.join(', ')}, which the encoder of ${folder} was trained with`,
    )
  }
  const left: AgreementConfig = { ...own, off: own.relations.filter((name) => !chosen.includes(name)) }
  return { config: chosen.length === 0 ? null : left, shown: relationsOf(left) }
}
