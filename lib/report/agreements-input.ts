/** agreements.json: to which chunks the chunks of a text attach, by relation. */
import { join } from 'node:path'
import { z } from 'zod'
import { loggedNumber, readJson } from './read-file.js'

const agreements = z.looseObject({
  format: z.literal(1),
  checkpoint: z.string(),
  text: z.string(),
  gates: z.record(z.string(), loggedNumber).default({}),
  sentences: z.array(
    z.looseObject({
      chunks: z.array(z.string()),
      /** (C, C + 1): probabilities of each chunk and of none. */
      relations: z.record(z.string(), z.array(z.array(loggedNumber.nullable()))),
    }),
  ),
})

export interface AgreementsInput {
  name: string
  folder: string
  file: string
  report: z.infer<typeof agreements>
}

export async function readAgreements(folder: string, name: string): Promise<AgreementsInput> {
  const file = join(folder, 'agreements.json')
  return { name, folder, file, report: await readJson(file, 'the output of stratabert agreements', agreements) }
}
