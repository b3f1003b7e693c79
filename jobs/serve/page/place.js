// The address is the state: which page, which moment, which question and filters.
import { signal } from './core.js'

export const route = signal(parse())

function parse() {
  const path = location.pathname, params = new URLSearchParams(location.search)
  const [, first, second] = path.split('/')
  const page = first === 'v' && second ? 'video' : first === 'runs' ? 'runs' : 'library'
  return { page, id: second ? decodeURIComponent(second) : '', path, params, q: (params.get('q') || '').trim(), turn: history.state?.turn ?? 0 }
}

let turns = 0

// Goes to an address of this page; the same one again counts as a move too.
export function go(url, { replace = false } = {}) {
  const before = location.pathname
  history[replace ? 'replaceState' : 'pushState']({ turn: ++turns }, '', url)
  route.value = { ...parse(), turn: turns }
  if (location.pathname !== before) {
    scrollTo(0, 0)
    requestAnimationFrame(() => document.querySelector('main')?.focus({ preventScroll: true }))
  }
}

addEventListener('popstate', () => { route.value = { ...parse(), turn: ++turns } })

// The address with some parameters changed; null, '' and [] take one out.
export function withParams(changes, from = route.value) {
  const params = new URLSearchParams(from.params)
  for (const [name, value] of Object.entries(changes)) {
    params.delete(name)
    for (const one of Array.isArray(value) ? value : [value]) if (one !== null && one !== undefined && one !== '') params.append(name, one)
  }
  const words = params.toString()
  return from.path + (words ? `?${words}` : '')
}

export const change = (changes, options) => go(withParams(changes), options)

// Notes something in the address without a move.
export function remember(changes) {
  history.replaceState(history.state, '', withParams(changes, { path: location.pathname, params: new URLSearchParams(location.search) }))
}

document.addEventListener('click', event => {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  const link = event.target.closest?.('a[href]')
  if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return
  if (!/^\/($|v\/|runs(\/|$))/.test(link.pathname)) return
  event.preventDefault()
  go(link.pathname + link.search)
})
