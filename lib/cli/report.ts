import type { Command } from 'commander'
import { writeReport } from '../report/index.js'
import { example } from './arguments.js'
import { note, printJson, printLines } from './output.js'

interface ReportFlags {
  output: string
  title?: string
  json: boolean
}

export function registerReport(program: Command): void {
  const command = program
    .command('report')
    .description('one self-contained HTML page: curves, scores, probes, comparisons, recipe and commands')
    .argument('<run...>', 'run folders, and folders that probe, layers or compare wrote')
    .option('--output <file>', 'the HTML file; an earlier report is replaced (required)')
    .option('--title <text>', "the page's title (default: the inputs' names)")
    .option('--json', 'print one JSON document', false)
    .action(report)
  example(
    command,
    'stratabert report runs/first --output report.html',
    'stratabert report runs/a runs/b probes/b --output both.html',
  )
}

async function report(inputs: string[], flags: ReportFlags): Promise<void> {
  const written = await writeReport({ inputs, output: flags.output, title: flags.title })
  for (const line of written.notes) note(line)
  if (flags.json) return printJson(written)
  printLines([
    `${written.output}: ${written.figures} figures, ${(written.bytes / 1000).toFixed(0)} kB`,
    `sections    ${written.sections.join(', ')}`,
  ])
}
