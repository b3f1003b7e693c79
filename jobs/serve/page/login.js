// The printed link carries the token behind '#': it goes to the server once and out of the address at once.
import { texts } from './texts.js'

export async function enter() {
  const token = decodeURIComponent(location.hash.slice(1))
  if (!token) return addEventListener('hashchange', enter, { once: true })
  history.replaceState(null, '', '/login')
  const reply = await fetch('/login', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ token }), credentials: 'same-origin' })
  if (reply.ok) return location.replace('/')
  const told = document.createElement('p')
  told.setAttribute('role', 'alert')
  told.textContent = texts[document.documentElement.lang].wrongToken
  document.querySelector('form')?.prepend(told)
}

