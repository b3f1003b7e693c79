// Answers with chips that lead to their evidence, and the conversation.
import { html, Icon, Kind, Doubts, Notes, Trouble, clock, t, kindName, useEffect, useRef, useState } from './core.js'
import { again, forget, momentUrl, put, stop, thread } from './asking.js'
import { archive } from './archive.js'
import { route, change } from './place.js'

export function Answers() {
  const now = thread.value
  if (!now) return null
  return html`<section class="answers" aria-label=${t('answer')}>
    ${now.turns.map((turn, i) => html`<${Turn} key=${i} turn=${turn} index=${i} last=${i === now.turns.length - 1} />`)}
    <${FollowUp} turns=${now.turns} />
  </section>`
}

function Turn({ turn, index, last }) {
  const { answer } = turn
  return html`<article class="turn">
    ${index > 0 && html`<p class="question">${turn.question}</p>`}
    <div class="card answer" aria-live=${last ? 'polite' : null} aria-busy=${turn.state === 'asking'}>
      <h2 class="over"><${Icon} name="spark" />${answer?.abstained ? t('silent') : t('answer')}${archive.value?.model && html`<span class="dim">${archive.value.model}</span>`}</h2>
      ${answer && answer.asked !== turn.question && html`<p class="dim small">${t('understood', { text: answer.asked })}</p>`}
      ${turn.state === 'asking' && (turn.text
        ? html`<div class="text writing"><${Text} text=${turn.text} rows=${[]} /></div>`
        : html`<div class="waiting"><span class="sr">${t('answering')}</span><i /><i /><i /></div>`)}
      ${turn.state === 'asking' && archive.value?.model && html`<button type="button" class="quiet" onClick=${stop}>${t('stop')}</button>`}
      ${turn.state === 'error' && html`<${Trouble} error=${turn.error} retry=${() => again(index)} />`}
      ${answer && html`<${Told} answer=${answer} />`}
    </div>
  </article>`
}

function Told({ answer }) {
  const cited = cites(answer)
  const text = marked(answer, cited)
  const nearest = answer.abstained || !cited.length ? rowsOf(answer, answer.nearest) : []
  return html`
    <div class="text" lang=""><${Text} text=${text} rows=${answer.evidence} order=${cited.map(e => e.id)} /></div>
    ${cited.length > 0 && html`<${Evidence} title=${t('evidence')} rows=${cited} numbered />`}
    ${nearest.length > 0 && html`<${Evidence} title=${t('nearest')} rows=${nearest} />`}
    <${Notes} notes=${answer.notes} />`
}

const rowsOf = (answer, ids) => (ids || []).map(id => answer.evidence.find(e => e.id === id)).filter(Boolean)

// The answer's text; cited rows that it does not name, as those of a model that lists them apart, are named at its end.
function marked({ answer }, cited) {
  const apart = cited.filter(e => !answer.includes(`[${e.id}]`))
  return apart.length ? `${answer} ${apart.map(e => `[${e.id}]`).join(' ')}` : answer
}

// Cited rows in the order in which the text names them.
function cites(answer) {
  const inText = [...answer.answer.matchAll(/\[(E\d+)\]/g)].map(m => m[1])
  const seen = new Set()
  return rowsOf(answer, [...inText, ...answer.citations].filter(id => !seen.has(id) && seen.add(id)))
}

// Lines of text, each mark like [E4] as a chip.
function Text({ text, rows, order = [] }) {
  const lines = text.split('\n')
  return lines.map(line => {
    const parts = line.split(/(\[E\d+\])/g).map(part => {
      const id = /^\[(E\d+)\]$/.exec(part)?.[1]
      const row = id && rows.find(e => e.id === id)
      return row ? html`<${Chip} row=${row} place=${order.indexOf(id) + 1} />` : part
    })
    return line.trim() ? html`<p class=${/^\d+:\d\d(:\d\d)? /.test(line) ? 'outline' : ''}>${parts}</p>` : null
  })
}

function Chip({ row, place }) {
  const here = isHere(row)
  return html`<a class="chip" href=${momentUrl(row.video, row.start, row.end)} data-cite=${place || null}
    title=${`${row.name} ${clock(row.start)} – ${kindName(row.kind)}: ${row.text}`} aria-label=${`${row.id}: ${row.name} ${clock(row.start)}`}>
    <span>${row.id}</span>${!here && html`<span class="dim">${clip(row.name, 18)}</span>`}<time>${clock(row.start)}</time></a>`
}

const isHere = row => route.value.page === 'video' && route.value.id === row.video
const clip = (text, n) => (text.length > n ? `${text.slice(0, n - 1)}…` : text)

function Evidence({ title, rows, numbered }) {
  const [all, setAll] = useState(false)
  const shown = all ? rows : rows.slice(0, 6)
  return html`<h3 class="over">${title}</h3>
    <ol class="evidence">${shown.map((row, i) => html`<li key=${row.id}><a href=${momentUrl(row.video, row.start, row.end)}>
      <span class="thumb">${row.frame_url ? html`<img src=${`${row.frame_url}&w=160`} alt="" loading="lazy" decoding="async" onError=${hide} />` : html`<${Icon} name="said" />`}</span>
      <span class="body"><span class="meta"><span class="id">${row.id}</span><${Kind} kind=${row.kind} /><time>${clock(row.start)}</time>
        ${!isHere(row) && html`<span class="name">${row.name}</span>`}<${Doubts} doubts=${row.doubts} />${numbered && i < 9 && html`<kbd aria-hidden="true">${i + 1}</kbd>`}</span>
      <span class="line">${row.speaker && html`<b>${row.speaker}: </b>`}${row.text}</span></span></a></li>`)}</ol>
    ${rows.length > shown.length && html`<button type="button" class="quiet" onClick=${() => setAll(true)}>${t('moreRows', { n: rows.length - shown.length })}</button>`}`
}

export const hide = event => { event.target.hidden = true }

function FollowUp({ turns }) {
  const [text, setText] = useState('')
  const [plain, setPlain] = useState(false)
  const field = useRef(null)
  const last = turns[turns.length - 1]
  useEffect(() => { if (turns.length > 1) field.current?.scrollIntoView({ block: 'nearest' }) }, [turns.length])
  if (!last || last.state !== 'done') return null
  const model = archive.value?.model
  if (!model) return html`<div class="follow"><button type="button" class="quiet" aria-expanded=${plain} onClick=${() => setPlain(!plain)}>${t('followUp')}</button>
    ${plain && html`<p class="dim small">${t('needsModel')}</p>`}</div>`
  const send = event => {
    event.preventDefault()
    if (!text.trim()) return
    put(text.trim())
    setText('')
  }
  return html`<form class="follow box" onSubmit=${send} ref=${field}><input value=${text} maxlength="10000" onInput=${e => setText(e.target.value)} placeholder=${t('followUp')} aria-label=${t('followUp')} />
    ${turns.length > 1 && html`<button type="button" class="tool" onClick=${forget}>${t('newTalk')}</button>`}
    <button type="submit" class="go" aria-label=${t('ask')}><${Icon} name="send" /></button></form>`
}

// Where only words were typed, an answer is offered.
export function Offer() {
  if (thread.value) return null
  return html`<button type="button" class="offer" onClick=${() => change({ ask: '1' })}><${Icon} name="spark" />${t('offer')}</button>`
}
