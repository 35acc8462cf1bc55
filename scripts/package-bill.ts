/**
 * The bill of materials of the published package: dist/sbom.cdx.json (CycloneDX 1.5) and dist/third-party-licences.md, each part with its licence
 * text. Three kinds of parts: dependencies that npm installs beside the package, libraries bundled into the report's page, and headers
 * compiled into the addons. Written by `prepack`; the same sources give the same bytes. (`npm sbom --omit dev` leaves out what a
 * development dependency needs too.)
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(__dirname, '..')

/** Header-only parts of the addons. ATen's inline code is libtorch's own: BSD-3-Clause, its licence lies beside every libtorch. */
const COMPILED = ['node-addon-api', 'node-api-headers']
const PERMISSIVE = /^(MIT|ISC|BSD-2-Clause|BSD-3-Clause|Apache-2\.0|0BSD|Unlicense)$/

export interface Part {
  name: string
  version: string
  licence: string
  role: string
  text: string
}

interface Manifest {
  name: string
  version: string
  description: string
  license?: string
  dependencies?: Record<string, string>
}

/** Writes both files and returns the parts, sorted by name. Throws on a licence that is not permissive. */
export function writeBill(): Part[] {
  const roles = new Map<string, string>()
  for (const name of installedPackages()) roles.set(name, 'dependency, installed by npm')
  for (const name of bundledPackages()) roles.set(name, "bundled into the report's page")
  for (const name of COMPILED) roles.set(name, 'compiled into the addons')
  const parts = [...roles].map(([name, role]) => readPart(name, role)).sort((a, b) => (a.name < b.name ? -1 : 1))
  for (const { name, licence } of parts) {
    if (!PERMISSIVE.test(licence))
      throw new Error(`${name} is licensed under '${licence}'; only permissive licences may be shipped`)
  }
  writeFileSync(join(root, 'dist', 'sbom.cdx.json'), `${JSON.stringify(sbom(parts), null, 2)}\n`)
  writeFileSync(join(root, 'dist', 'third-party-licences.md'), licenceList(parts))
  return parts
}

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
}

/** Dependencies of dependencies included. */
function installedPackages(): Set<string> {
  const found = new Set<string>()
  const visit = (folder: string): void => {
    for (const name of Object.keys(readManifest(folder).dependencies ?? {})) {
      if (found.has(name)) continue
      found.add(name)
      visit(join(root, 'node_modules', name))
    }
  }
  visit(root)
  return found
}

/** The page's script names what is inside (see build-page.ts): `d3-array 3.2.4: Copyright …`. */
function bundledPackages(): string[] {
  const script = readFileSync(join(root, 'dist', 'report', 'page', 'page.js'), 'utf8')
  const comment = script.slice(0, script.indexOf('*/'))
  return [...comment.matchAll(/^((?:@[\w.-]+\/)?[\w.-]+) \d+\.\d+\.\d+\S*: /gm)].map((match) => match[1])
}

function readPart(name: string, role: string): Part {
  const folder = join(root, 'node_modules', name)
  const { version, license } = readManifest(folder)
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry))
  const text = file ? readFileSync(join(folder, file), 'utf8').trim() : ''
  return { name, version, licence: license ?? 'unknown', role, text }
}

/** https://cyclonedx.org/docs/1.5/json/ */
function sbom(parts: readonly Part[]): object {
  const { name, version, description, license, dependencies = {} } = readManifest(root)
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { integrity?: string }>
  }
  const component = (part: { name: string; version: string; licence?: string }): object => ({
    'bom-ref': `${part.name}@${part.version}`,
    type: 'library',
    name: part.name,
    version: part.version,
    purl: `pkg:npm/${part.name.replace('@', '%40')}@${part.version}`,
    licenses: [{ license: { id: part.licence } }],
  })
  const hashes = (part: Part): object[] => {
    const [algorithm, base64] = lock.packages[`node_modules/${part.name}`]?.integrity?.split('-') ?? []
    return algorithm === 'sha512' ? [{ alg: 'SHA-512', content: Buffer.from(base64, 'base64').toString('hex') }] : []
  }
  const reference = (wanted: string): string[] => {
    const part = parts.find((candidate) => candidate.name === wanted)
    return part ? [`${part.name}@${part.version}`] : []
  }
  const others = parts.filter((part) => !part.role.startsWith('dependency')).map((part) => part.name)
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: { component: { ...component({ name, version, licence: license }), description } },
    components: parts.map((part) => ({
      ...component(part),
      hashes: hashes(part),
      properties: [{ name: 'stratabert:role', value: part.role }],
    })),
    dependencies: [
      { ref: `${name}@${version}`, dependsOn: [...Object.keys(dependencies), ...others].flatMap(reference).sort() },
      ...parts.map((part) => ({
        ref: `${part.name}@${part.version}`,
        dependsOn: part.role.startsWith('dependency')
          ? Object.keys(readManifest(join(root, 'node_modules', part.name)).dependencies ?? {}).flatMap(reference)
          : [],
      })),
    ],
  }
}

function licenceList(parts: readonly Part[]): string {
  const rows = parts.map(({ name, version, licence, role }) => `| ${name} | ${version} | ${licence} | ${role} |`)
  const texts = parts.flatMap(({ name, version, licence, text }) => [
    '',
    `## ${name} ${version}`,
    '',
    text ? `\`\`\`\n${text.replaceAll('```', "'''")}\n\`\`\`` : `${licence}; the package brings no text of it.`,
  ])
  return `${[
    '# Licences of what this package brings',
    '',
    'stratabert itself: MIT, see LICENSE. libtorch and its CUDA libraries are not part of it: they are fetched or found on the machine, with licences of their own',
    'beside them. The addons hold inline code of libtorch’s headers (BSD-3-Clause).',
    '',
    '| part | version | licence | how |',
    '|---|---|---|---|',
    ...rows,
    ...texts,
  ].join('\n')}\n`
}

if (require.main === module) {
  for (const { name, version, licence, role } of writeBill()) console.log(`${name} ${version}  ${licence}  ${role}`)
}
