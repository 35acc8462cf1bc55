import { parseDocument } from 'yaml'
import { StrataError } from '../errors.js'
import { setAt, type Values } from './merge.js'

/**
 * Reads `--set a.b=c` options into one overlay. The value is a YAML scalar or flow value: `6`, `true`, `1e-3`, `text`,
 * `[a, b]`, `{ steps: 100 }`; `null` removes the key.
 */
export function overlayOfSetOptions(options: readonly string[]): Values {
  const overlay: Values = {}
  const seen = new Set<string>()
  for (const option of options) {
    const equals = option.indexOf('=')
    const key = option.slice(0, equals).trim()
    if (equals < 1 || key.split('.').some((part) => part === '')) {
      throw new StrataError('BAD_RECIPE', `--set came as "${option}", expected key.path=value, like encoder.layers=4`)
    }
    if (seen.has(key)) throw new StrataError('BAD_RECIPE', `--set ${key} came twice; give it once`)
    seen.add(key)
    setAt(overlay, key.split('.'), parseScalar(key, option.slice(equals + 1)))
  }
  return overlay
}

function parseScalar(key: string, text: string): unknown {
  let value: unknown
  try {
    const document = parseDocument(text, { prettyErrors: false, logLevel: 'error' })
    const fault = document.errors[0] ?? document.warnings[0]
    if (fault) throw fault
    value = document.toJS({ maxAliasCount: 100 })
  } catch (error) {
    const message = `--set ${key}: the value ${JSON.stringify(text)} is no YAML value: ${(error as Error).message}`
    throw new StrataError('BAD_RECIPE', message, { cause: error })
  }
  // YAML 1.2 reads "1e6" as a number and "" as null; an empty value is more likely a shell's unset variable.
  if (value === null && !/^\s*(null|~)\s*$/.test(text)) {
    throw new StrataError('BAD_RECIPE', `--set ${key} came without a value; write ${key}=null to remove the key`)
  }
  return value
}
