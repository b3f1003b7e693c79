// Keys, and the dialog that lists them.
import { html, signal, stored, store, t, Icon, effect, useEffect, useRef } from './core.js'
import { active } from './video.js'
import { copyLink } from './clip.js'

export const open = signal(false)
const on = signal(stored('keys', 'on') === 'on')

const KEYS = [['/', 'keyBox'], ['␣', 'keyPlay'], ['← →', 'keySeek'], ['n p', 'keyHits'], ['1–9', 'keyChips'], ['i o', 'keyClip'], ['l', 'keyLink'], ['?', 'keyHelp']]

export function Help() {
  const dialog = useRef(null)
  useEffect(() => effect(() => {
    if (open.value && !dialog.current.open) dialog.current.showModal()
    else if (!open.value && dialog.current.open) dialog.current.close()
  }), [])
  return html`<dialog class="help card" ref=${dialog} aria-labelledby="help-title" onClose=${() => { open.value = false }} onClick=${e => { if (e.target === dialog.current) open.value = false }}>
    <div class="row-head"><h2 id="help-title">${t('keys')}</h2><button type="button" class="round" onClick=${() => { open.value = false }} aria-label=${t('close')}><${Icon} name="close" /></button></div>
    <dl>${KEYS.map(([keys, name]) => html`<div><dt>${keys.split(' ').map(k => html`<kbd>${k}</kbd> `)}</dt><dd>${t(name)}</dd></div>`)}</dl>
    <p><button type="button" class="switch" role="switch" aria-checked=${on.value} onClick=${() => { on.value = !on.value; store('keys', on.value ? 'on' : 'off') }}><i />${t('keysOn')}</button></p>
  </dialog>`
}

const typing = target => target.closest?.('input:not([type=range]), textarea, select, [contenteditable]')

addEventListener('keydown', event => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || open.value || typing(event.target)) return
  const { key } = event, now = active.value
  if (key === '?') { open.value = true; event.preventDefault(); return }
  if (!on.value) return
  if (key === '/') {
    event.preventDefault()
    const box = document.getElementById('q')
    box?.focus()
    box?.select()
  } else if (/^[1-9]$/.test(key)) {
    const chip = document.querySelector(`a[data-cite="${key}"]`)
    if (chip) { event.preventDefault(); chip.click() }
  } else if (key === 'n' || key === 'p') {
    event.preventDefault()
    now ? hit(now, key === 'n' ? 1 : -1) : link(key === 'n' ? 1 : -1)
  } else if (now) playing(event, now)
})

function playing(event, { player, clip }) {
  const { key, target } = event
  const own = target.closest?.('video, input[type=range]')
  if (key === ' ' && !target.closest?.('button, a, summary, video, [role=option], [role=tab]')) player.toggle()
  else if (key === 'ArrowLeft' && !own) player.by(-5)
  else if (key === 'ArrowRight' && !own) player.by(5)
  else if (key === 'i') clip.setIn()
  else if (key === 'o') clip.setOut()
  else if (key === 'l') copyLink(player)
  else return
  event.preventDefault()
}

function hit({ player, hits }, step) {
  const now = player.time.peek()
  const to = step > 0 ? hits.find(h => h.start > now + 0.3) ?? hits[0] : [...hits].reverse().find(h => h.start < now - 0.3) ?? hits.at(-1)
  if (to) player.seek(to.start)
}

function link(step) {
  const links = [...document.querySelectorAll('a.hit, .card-video a')]
  const at = links.indexOf(document.activeElement)
  links[Math.max(0, Math.min(links.length - 1, at + step))]?.focus()
}
