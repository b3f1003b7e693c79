// Talks to the server.
export class ApiError extends Error {
  constructor(status, told) {
    super(told?.message || `HTTP ${status}`)
    this.status = status
    this.code = told?.code || ''
  }
}

const BASE = '/api/v1'

export function address(path, params = {}) {
  const words = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== null && one !== undefined && one !== '') words.append(name, one)
  }
  const text = words.toString()
  return BASE + path + (text ? `?${text}` : '')
}

export async function call(method, url, { body, type = 'application/json', accept = 'application/json', signal } = {}) {
  const headers = { Accept: accept }
  if (method !== 'GET' && method !== 'HEAD') headers['Content-Type'] = type
  const reply = await fetch(url, { method, headers, body: type === 'application/json' && body !== undefined ? JSON.stringify(body) : body, signal, credentials: 'same-origin' })
  if (reply.status === 401) {
    location.assign('/login')
    await new Promise(() => {}) // the page is left
  }
  if (!reply.ok) {
    const told = await reply.json().catch(() => null)
    throw new ApiError(reply.status, told?.error)
  }
  return reply
}

export const get = async (path, params, signal) => (await call('GET', address(path, params), { signal })).json()
export const post = async (path, body, signal) => (await call('POST', address(path), { body, signal })).json()
export const remove = path => call('DELETE', address(path))

// Events of a server-sent stream: [name, data] each.
export async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      const parts = (rest + value).split(/\r?\n\r?\n/)
      rest = parts.pop()
      for (const part of parts) {
        const lines = part.split(/\r?\n/)
        const name = lines.find(l => l.startsWith('event:'))?.slice(6).trim() || 'message'
        const data = lines.filter(l => l.startsWith('data:')).map(l => l.slice(5).replace(/^ /, '')).join('\n')
        if (data) yield [name, JSON.parse(data)]
      }
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}

// Asks; `told` gets the text so far, where a model writes.  The answer's object.
export async function ask(body, told, signal) {
  const reply = await call('POST', address('/ask'), { body, accept: 'text/event-stream', signal })
  if (!(reply.headers.get('content-type') || '').includes('event-stream')) return reply.json()
  for await (const [name, data] of events(reply)) {
    if (name === 'text') told(data.text)
    else if (name === 'answer') return data
    else if (name === 'error') throw new ApiError(0, data.error)
  }
  throw new ApiError(0, { message: 'the server stopped in the middle of the answer' })
}

export async function rows(id, kind, told, signal, first = 300) {
  let all = [], cursor = '0', limit = first
  while (cursor !== null && cursor !== undefined) {
    const page = await get(`/videos/${encodeURIComponent(id)}/rows`, { kind, cursor, limit }, signal)
    all = all.concat(page.rows)
    told(all, page.total)
    cursor = page.next
    limit = 5000
  }
  return all
}
