// Lanes below the player: what is where in the video.  Each is a list that the keyboard can walk.
import { html, clock, effect, t, useEffect, useMemo, useRef, useState } from './core.js'
import { lastBefore } from './player.js'

const WIDTH = 1000

// Rows next to each other drawn as one mark: {start, end, label, tone}.
function joined(rows, length, label, tone = () => 0) {
  const gap = length / 600, marks = []
  for (const row of rows) {
    const last = marks[marks.length - 1], colour = tone(row)
    if (last && last.tone === colour && row.start - last.end <= gap && last.end - last.start < length / 40) { last.end = Math.max(last.end, row.end); last.more++ }
    else marks.push({ start: row.start, end: row.end, label: label(row), tone: colour, more: 0 })
  }
  return marks
}

export function Lanes({ video, player, speech, text, frames, hits, clip }) {
  const length = player.length
  const speakers = useMemo(() => [...new Set(speech.map(r => r.speaker).filter(Boolean))], [speech])
  const lanes = useMemo(() => [
    { id: 'chapters', name: t('chapters'), marks: video.chapter_list.map((c, i) => ({ start: c.start, end: c.end, label: c.title, tone: i % 2 })) },
    { id: 'speech', name: t('speech'), marks: joined(speech, length, r => (r.speaker ? `${r.speaker}: ${r.text}` : r.text), r => (r.speaker ? speakers.indexOf(r.speaker) % 6 : 0)) },
    { id: 'text', name: t('screenText'), marks: joined(text, length, r => r.text) },
    { id: 'frames', name: t('frames'), marks: joined(frames, length, r => r.text || t('frame'), (() => { let i = 0; return () => i++ % 2 })()) },
    { id: 'hits', name: t('hitMarks'), marks: hits.map(h => ({ start: h.start, end: Math.max(h.end, h.start + length / 250), label: h.text || t('frame'), tone: 0 })) },
  ].filter(l => l.marks.length), [video, speech, text, frames, hits, length, t('chapters')])
  const box = useRef(null), head = useRef(null)
  const [peek, setPeek] = useState(null)
  useEffect(() => effect(() => { if (head.current) head.current.style.left = `${(player.time.value / length) * 100}%` }), [player])
  const timeAt = event => {
    const place = box.current.getBoundingClientRect()
    return Math.max(0, Math.min(1, (event.clientX - place.left) / place.width)) * length
  }
  const over = event => {
    if (event.pointerType === 'touch') return
    const time = timeAt(event), at = Math.max(0, lastBefore(frames, time)), said = speech[lastBefore(speech, time)]
    setPeek({ time, frame: frames[at] && at, said: said && said.end > time ? said.text : '' })
  }
  const { from, to } = clip
  const drawn = useMemo(() => lanes.map(lane => html`<${Lane} key=${lane.id} lane=${lane} player=${player} />`), [lanes, player])
  return html`<div class="lanes" aria-label=${t('lanes')} role="group">
    <div class="names" aria-hidden="true">${lanes.map(l => html`<span>${l.name}</span>`)}</div>
    <div class="tracks" ref=${box} onPointerMove=${over} onPointerLeave=${() => setPeek(null)} onClick=${e => player.seek(timeAt(e))}>
      ${drawn}
      ${from !== null && html`<div class="clipband" style=${{ left: `${(from / length) * 100}%`, width: `${((Math.max(to ?? length, from) - from) / length) * 100}%` }} />`}
      <div class="head" ref=${head} />
      ${peek && html`<div class="peek" style=${{ left: `${Math.max(12, Math.min(88, (peek.time / length) * 100))}%` }} aria-hidden="true">
        ${peek.frame !== undefined && html`<img src=${`/api/v1/videos/${video.id}/frame?n=${peek.frame}&w=320`} alt="" />`}<b>${clock(peek.time)}</b>${peek.said && html`<span>${peek.said}</span>`}</div>`}
    </div>
  </div>`
}

function Lane({ lane, player }) {
  const svg = useRef(null)
  const [stop, setStop] = useState(0)
  const scale = WIDTH / player.length, at = Math.min(stop, lane.marks.length - 1)
  const keys = event => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
    let to = at
    if (step) to = Math.max(0, Math.min(lane.marks.length - 1, at + step))
    else if (event.key === 'Home') to = 0
    else if (event.key === 'End') to = lane.marks.length - 1
    else if (event.key === 'Enter' || event.key === ' ') player.seek(lane.marks[at].start)
    else return
    event.preventDefault()
    event.stopPropagation()
    setStop(to)
    svg.current.children[to]?.focus()
  }
  const click = event => {
    const mark = event.target.closest('[data-i]')
    if (!mark) return
    event.stopPropagation()
    setStop(Number(mark.dataset.i))
    // A long mark is clicked where it is; a short one is gone to.
    const one = lane.marks[Number(mark.dataset.i)], place = svg.current.getBoundingClientRect()
    const time = ((event.clientX - place.left) / place.width) * player.length
    player.seek((one.end - one.start) * scale > 60 && lane.id !== 'hits' ? Math.max(one.start, time) : one.start)
  }
  return html`<svg class=${`lane lane-${lane.id}`} ref=${svg} viewBox=${`0 0 ${WIDTH} 20`} preserveAspectRatio="none" role="listbox" aria-orientation="horizontal" aria-label=${lane.name} onKeyDown=${keys} onClick=${click}>
    ${lane.marks.map((m, i) => html`<rect key=${i} role="option" aria-selected=${i === at} tabindex=${i === at ? 0 : -1} data-i=${i} class=${`mark tone-${m.tone}`}
      x=${(m.start * scale).toFixed(2)} y="2" height="16" width=${Math.max(1.5, (m.end - m.start) * scale - 1.2).toFixed(2)} rx="2" aria-label=${`${clock(m.start)} ${m.label}`} />`)}</svg>`
}
