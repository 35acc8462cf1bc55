/** A package index on this machine whose connections break off: what a download over a bad line meets. */
import { createReadStream, existsSync, statSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

export interface WheelServer {
  address: string
  /** `<path> <first byte>`, one a request for a file. */
  requests: string[]
  close(): Promise<void>
}

/** Serves the files of `folder` under /files and a simple index under /simple. The first `broken` requests for a file end after half of it. */
export async function serveWheels(folder: string, files: readonly string[], broken: number): Promise<WheelServer> {
  const requests: string[] = []
  let left = broken
  const server: Server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '')
    const project = /^\/simple\/([\w-]+)\/$/.exec(path)?.[1]
    if (project) {
      const links = files.filter((file) => file.startsWith(`${project.replaceAll('-', '_')}-`))
      response.setHeader('content-type', 'text/html')
      return response.end(
        `<!DOCTYPE html><html><body>${links.map((file) => `<a href="/files/${file}">${file}</a>`).join('')}</body></html>`,
      )
    }
    const file = join(folder, path.replace('/files/', ''))
    if (!path.startsWith('/files/') || !existsSync(file)) return response.writeHead(404).end()
    const bytes = statSync(file).size
    const first = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    requests.push(`${path.slice('/files/'.length)} ${first}`)
    if (first >= bytes) return response.writeHead(416, { 'content-range': `bytes */${bytes}` }).end()
    response.writeHead(first > 0 ? 206 : 200, {
      'content-length': bytes - first,
      'accept-ranges': 'bytes',
      ...(first > 0 ? { 'content-range': `bytes ${first}-${bytes - 1}/${bytes}` } : {}),
    })
    if (left-- <= 0) return createReadStream(file, { start: first }).pipe(response)
    createReadStream(file, { start: first, end: first + Math.floor((bytes - first) / 2) })
      .on('end', () => setTimeout(() => response.destroy(), 20))
      .pipe(response, { end: false })
  })
  await new Promise<void>((settle) => server.listen(0, '127.0.0.1', settle))
  const { port } = server.address() as AddressInfo
  const close = (): Promise<void> =>
    new Promise((settle) => {
      server.closeAllConnections()
      server.close(() => settle())
    })
  return { address: `http://127.0.0.1:${port}`, requests, close }
}
