/** The page's script and style sheet, built from page/ by `npm run build:dist`. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { StrataError } from '../errors.js'
import { packageRoot } from '../runtime/index.js'

export interface PageAssets {
  script: string
  style: string
}

export async function readPageAssets(): Promise<PageAssets> {
  const folder = join(packageRoot, 'dist', 'report', 'page')
  try {
    const [script, style] = await Promise.all(
      ['page.js', 'page.css'].map((file) => readFile(join(folder, file), 'utf8')),
    )
    return { script, style }
  } catch (error) {
    throw new StrataError(
      'NOT_FOUND',
      `the report's script is not in ${folder}; in a checkout npm run build:dist makes it, an installed package that lacks it is damaged: install it again`,
      { cause: error },
    )
  }
}
