// The one box that searches and asks, and its filters.
import { html, Icon, KINDS, kindIcon, kindName, clock, seconds, day, t, lang, useEffect, useRef, useState } from './core.js'
import { archive, named, nameOf } from './archive.js'
import { change, route } from './place.js'
import { submit } from './asking.js'
import * as api from './api.js'

export function Box({ home }) {
  const r = route.value
  const [text, setText] = useState(r.q)
  const [everywhere, setEverywhere] = useState(false)
  const [open, setOpen] = useState(() => hasFilters(r))
  const input = useRef(null)
  const inVideo = r.page === 'video'
  useEffect(() => { setText(r.q) }, [r.q, r.page])
  useEffect(() => { setEverywhere(Boolean(r.params.get('all'))) }, [r.id, r.params.get('all')])
  const limited = inVideo && !everywhere
  const send = event => {
    event.preventDefault()
    if (!text.trim() && !r.q) return input.current.focus()
    submit(text, everywhere)
    if (matchMedia('(pointer: coarse)').matches) input.current.blur()
  }
  return html`<search class=${home ? 'ask home' : 'ask'}>
    <form class="box" onSubmit=${send} role="search" aria-label=${t('searchAndAsk')}>
      <${Icon} name="search" />
      ${limited && html`<button type="button" class="scope" onClick=${() => { setEverywhere(true); input.current.focus() }} title=${t('everywhere')}>
        <span>${t('thisVideo')}</span><${Icon} name="close" /><span class="sr">${t('everywhere')}</span></button>`}
      <input id="q" ref=${input} type="search" enterkeyhint="search" autocomplete="off" spellcheck=${false} maxlength="10000" value=${text}
        onInput=${e => setText(e.target.value)} placeholder=${limited ? t('askVideo') : t('askAll')} aria-label=${limited ? t('askVideo') : t('askAll')} />
      ${!text && html`<kbd class="hint" aria-hidden="true">/</kbd>`}
      ${inVideo && everywhere && html`<button type="button" class="scope off" onClick=${() => { setEverywhere(false); input.current.focus() }}><${Icon} name="add" /><span>${t('thisVideo')}</span></button>`}
      <button type="button" class="tool" aria-expanded=${open} aria-controls="filters" onClick=${() => setOpen(!open)}><${Icon} name="filter" /><span class="wide">${t('filters')}</span></button>
      <button type="submit" class="go"><span class="wide">${t('ask')}</span><${Icon} name="send" /></button>
    </form>
    <div id="filters" class="filters" hidden=${!open}>${open && html`<${Filters} inVideo=${inVideo} />`}</div>
    ${!open && html`<${Active} inVideo=${inVideo} />`}
  </search>`
}

const NAMES = ['kind', 'video', 'from', 'to', 'language', 'who', 'since', 'until']

const hasFilters = r => NAMES.some(n => n !== 'kind' && !(n === 'video' && r.page === 'video') && r.params.get(n))

function Filters({ inVideo }) {
  const r = route.value, about = archive.value
  const kinds = r.params.getAll('kind')
  const toggle = kind => {
    const now = kinds.includes(kind) ? kinds.filter(k => k !== kind) : [...kinds, kind]
    change({ kind: now.length === KINDS.length ? [] : now })
  }
  return html`
    <div class="field" role="group" aria-labelledby="f-kinds"><span class="label" id="f-kinds">${t('look')}</span>
      <div class="pills">${KINDS.map(k => html`<button type="button" class=${`pill kind-${k}`} aria-pressed=${kinds.includes(k)} onClick=${() => toggle(k)}><${Icon} name=${kindIcon(k)} />${kindName(k)}</button>`)}</div></div>
    ${!inVideo && html`<${VideoFilter} />`}
    <div class="field" role="group" aria-labelledby="f-time"><span class="label" id="f-time">${t('timeInVideo')}</span><div class="pair">
      <${TimeFilter} name="from" label=${t('from')} /><span aria-hidden="true">–</span><${TimeFilter} name="to" label=${t('to')} /></div></div>
    ${about?.languages?.length > 0 && html`<div class="field"><label class="label" for="f-lang">${t('language')}</label>
      <select id="f-lang" value=${r.params.get('language') || ''} onChange=${e => change({ language: e.target.value })}>
        <option value="">${t('any')}</option>${about.languages.map(l => html`<option value=${l}>${languageName(l)}</option>`)}</select></div>`}
    ${about?.speakers?.length > 0 && html`<div class="field"><label class="label" for="f-who">${t('who')}</label>
      <input id="f-who" list="f-speakers" value=${r.params.get('who') || ''} onChange=${e => change({ who: e.target.value.trim() })} placeholder=${t('anyone')} />
      <datalist id="f-speakers">${about.speakers.map(s => html`<option value=${s} />`)}</datalist></div>`}
    ${!inVideo && html`<div class="field" role="group" aria-labelledby="f-days"><span class="label" id="f-days">${t('recorded')}</span><div class="pair">
      <input type="date" aria-label=${t('since')} value=${r.params.get('since') || ''} onChange=${e => change({ since: e.target.value })} />
      <span aria-hidden="true">–</span>
      <input type="date" aria-label=${t('until')} value=${r.params.get('until') || ''} onChange=${e => change({ until: e.target.value })} /></div></div>`}
    ${NAMES.some(n => r.params.get(n)) && html`<button type="button" class="quiet clear" onClick=${() => change(Object.fromEntries(NAMES.map(n => [n, null])))}>${t('clear')}</button>`}`
}

export function languageName(code) {
  try { return new Intl.DisplayNames([lang.value], { type: 'language' }).of(code) || code } catch { return code }
}

function TimeFilter({ name, label }) {
  const given = route.value.params.get(name)
  const [wrong, setWrong] = useState(false)
  const take = event => {
    const text = event.target.value.trim(), value = text ? seconds(text) : ''
    setWrong(value === null)
    if (value !== null) change({ [name]: value === '' ? null : String(value) })
  }
  return html`<input class="time" inputmode="text" aria-label=${label} aria-invalid=${wrong} placeholder=${name === 'from' ? '0:00' : t('end')} value=${given ? clock(Number(given)) : ''} onChange=${take} />`
}

function VideoFilter() {
  const r = route.value, chosen = r.params.getAll('video')
  const [found, setFound] = useState([])
  const timer = useRef(0)
  const look = event => {
    const text = event.target.value
    const known = found.find(v => v.name === text)
    if (known) {
      event.target.value = ''
      if (!chosen.includes(known.id)) change({ video: [...chosen, known.id] })
      return
    }
    clearTimeout(timer.current)
    timer.current = setTimeout(() => api.get('/videos', { q: text.slice(0, 200), limit: 12 }).then(p => { named(p.videos); setFound(p.videos) }, () => {}), 150)
  }
  return html`<div class="field grow"><label class="label" for="f-video">${t('video')}</label>
    <div class="picked">${chosen.map(id => html`<${Chip} text=${nameOf(id)} off=${() => change({ video: chosen.filter(v => v !== id) })} />`)}
    <input id="f-video" list="f-videos" placeholder=${chosen.length ? t('addVideo') : t('anyVideo')} onInput=${look} onFocus=${look} autocomplete="off" /></div>
    <datalist id="f-videos">${found.map(v => html`<option value=${v.name}>${clock(v.seconds)}</option>`)}</datalist></div>`
}

function Chip({ text, off }) {
  return html`<button type="button" class="chipoff" onClick=${off}><span>${text}</span><${Icon} name="close" /><span class="sr">${t('remove')}</span></button>`
}

// The filters that are set, while their panel is closed.
function Active({ inVideo }) {
  const r = route.value, has = r.params, chips = []
  const without = (name, value) => () => change({ [name]: has.getAll(name).filter(v => v !== value) })
  for (const k of has.getAll('kind')) chips.push([kindName(k), without('kind', k)])
  if (!inVideo) for (const id of has.getAll('video')) chips.push([nameOf(id), without('video', id)])
  const from = has.get('from'), to = has.get('to')
  if (from) chips.push([`${t('from')} ${clock(Number(from))}`, without('from', from)])
  if (to) chips.push([`${t('to')} ${clock(Number(to))}`, without('to', to)])
  if (has.get('language')) chips.push([languageName(has.get('language')), without('language', has.get('language'))])
  if (has.get('who')) chips.push([has.get('who'), without('who', has.get('who'))])
  if (has.get('since')) chips.push([`${t('since')} ${day(has.get('since'))}`, without('since', has.get('since'))])
  if (has.get('until')) chips.push([`${t('until')} ${day(has.get('until'))}`, without('until', has.get('until'))])
  return chips.length ? html`<div class="active">${chips.map(([text, off]) => html`<${Chip} text=${text} off=${off} />`)}</div>` : null
}
