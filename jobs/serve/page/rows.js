// Long lists of rows in order of time: found in, followed, clicked to seek.
import { Component, html, Icon, Doubts, clock, effect, literal, marked, t, announce, useEffect, useMemo, useRef, useState } from './core.js'
import { lastBefore } from './player.js'

const CHUNK = 100

// One row.  It is drawn again only where it becomes the current one, or what is looked for in it changes.
class Line extends Component {
  shouldComponentUpdate(next, state) {
    const p = this.props
    return state !== this.state || next.find !== p.find || next.row !== p.row || next.pictures !== p.pictures
  }

  componentDidMount() { this.props.lines.set(this.props.row.row, this) }

  componentWillUnmount() { this.props.lines.delete(this.props.row.row) }

  render({ row, find, player, who, pictures }, { active, hit }) {
    return html`<li ref=${e => { this.element = e }} class=${`line${active ? ' active' : ''}${hit ? ' found' : ''}${row.doubts?.length ? ' doubted' : ''}`} data-at=${row.start} aria-current=${active ? 'time' : null}>
      <button type="button" class="at">${clock(row.start)}</button>
      ${pictures && row.frame_url && html`<img src=${`${row.frame_url}&w=160`} alt="" loading="lazy" decoding="async" />`}
      <p lang=${row.language || null}>${who && html`<b class="who">${row.speaker}</b>`}${active && row.words?.length && !find ? html`<${Words} text=${row.text} words=${row.words} player=${player} />` : marked(row.text, find)}<${Doubts} doubts=${row.doubts} /></p></li>`
  }
}

// The text of the current row, the word that is spoken marked.  What is between words stays as it is in the text.
function Words({ text, words, player }) {
  const time = player.time.value
  let at = words.length - 1, from = 0
  while (at >= 0 && words[at][0] > time) at--
  const parts = []
  words.forEach(([, , raw], i) => {
    const word = raw.trim(), place = text.indexOf(word, from)
    if (!word || place < 0) return
    parts.push(text.slice(from, place), html`<span class=${i === at ? 'word now' : 'word'}>${word}</span>`)
    from = place + word.length
  })
  return [...parts, text.slice(from)]
}

class Chunk extends Component {
  shouldComponentUpdate(next) { return next.rows !== this.props.rows || next.find !== this.props.find || next.lang !== this.props.lang }

  render({ rows, before, ...rest }) {
    return html`<ul class="chunk">${rows.map((row, i) => html`<${Line} key=${row.row} row=${row} who=${row.speaker && row.speaker !== (i ? rows[i - 1] : before)?.speaker} ...${rest} />`)}</ul>`
  }
}

export function Rows({ rows, total, player, name, pictures = false, empty }) {
  const [text, setText] = useState('')
  const [at, setAt] = useState(0)
  const [shown, setShown] = useState(3)
  const [following, setFollowing] = useState(true)
  const scroller = useRef(null)
  const lines = useRef(new Map()).current
  const current = useRef(-1)
  const last = useRef(null)
  const follows = useRef(true)
  follows.current = following
  const find = useMemo(() => (text.trim() ? new RegExp(literal(text.trim()), 'giu') : null), [text.trim()])
  const hits = useMemo(() => (find ? rows.filter(r => { find.lastIndex = 0; return find.test(r.text) }) : []), [find, rows])
  const chunks = useMemo(() => {
    const made = []
    for (let i = 0; i < rows.length; i += CHUNK) made.push(rows.slice(i, i + CHUNK))
    return made
  }, [rows])
  const holding = useMemo(() => new Set(hits.map(r => Math.floor(rows.indexOf(r) / CHUNK))), [hits])

  // More chunks while the browser has time.
  useEffect(() => {
    if (shown >= chunks.length) return
    const timer = setTimeout(() => setShown(n => n + 4), 16)
    return () => clearTimeout(timer)
  }, [shown, chunks.length])

  const show = (row, smooth) => {
    const line = lines.get(row.row)?.element, box = scroller.current
    if (!line || !box) return false
    const place = () => { box.scrollTop += line.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 3 }
    place()
    if (!smooth) requestAnimationFrame(place) // rows above may have got their true heights
    return true
  }

  // The current row follows the player; where nothing is said, the last one before it is in sight.
  useEffect(() => effect(() => {
    const row = rows[lastBefore(rows, player.time.value)]
    const now = row && player.time.value < Math.max(row.end, row.start + 1) + 1 ? row.row : -1
    if (now !== current.current) {
      lines.get(current.current)?.setState({ active: false })
      current.current = now
      lines.get(now)?.setState({ active: true })
    }
    if (row === last.current) return
    last.current = row
    if (row && follows.current) show(row)
  }), [rows, player, shown])

  useEffect(() => {
    lines.get(current.current)?.setState({ active: true })
    if (last.current && follows.current) show(last.current)
  }, [shown >= chunks.length, following])

  const marks = useRef(null)
  const jump = (to, all = hits) => {
    if (!all.length) return
    const place = (to + all.length) % all.length
    setAt(place)
    setFollowing(false)
    marks.current?.setState({ hit: false })
    marks.current = lines.get(all[place].row)
    marks.current?.setState({ hit: true })
    show(all[place])
    announce(t('foundAt', { n: place + 1, all: all.length }))
  }
  useEffect(() => { marks.current?.setState({ hit: false }); if (find) { if (hits.length) jump(0); else announce(t('notFound')) } }, [find])

  const click = event => {
    const line = event.target.closest('.line')
    if (!line || (!event.target.closest('button') && String(getSelection()))) return
    player.seek(Number(line.dataset.at))
    setFollowing(true)
  }
  const keys = event => {
    if (event.key === 'Enter') { event.preventDefault(); jump(at + (event.shiftKey ? -1 : 1)) }
    if (event.key === 'Escape' && text) { event.stopPropagation(); setText('') }
  }
  if (!rows.length) return html`<p class="empty dim">${empty}</p>`
  return html`<div class="finder">
      <${Icon} name="search" /><input type="search" class="find" value=${text} onInput=${e => setText(e.target.value)} onKeyDown=${keys} placeholder=${t('findIn', { name })} aria-label=${t('findIn', { name })} />
      ${find && html`<span class="count">${hits.length ? t('foundAt', { n: at + 1, all: hits.length }) : t('notFound')}</span>
        <button type="button" class="round" onClick=${() => jump(at - 1)} aria-label=${t('previous')} disabled=${!hits.length}><${Icon} name="up" /></button>
        <button type="button" class="round" onClick=${() => jump(at + 1)} aria-label=${t('nextHit')} disabled=${!hits.length}><${Icon} name="below" /></button>`}
      <button type="button" class="switch" role="switch" aria-checked=${following} onClick=${() => setFollowing(!following)}><i />${t('follow')}</button>
    </div>
    <div class="scroll" ref=${scroller} tabindex="0" role="region" aria-label=${name} onClick=${click} onWheel=${() => setFollowing(false)} onTouchMove=${() => setFollowing(false)}>
      ${chunks.slice(0, Math.max(shown, 1)).map((chunk, i) => html`<${Chunk} key=${i} rows=${chunk} before=${i ? chunks[i - 1].at(-1) : null} find=${holding.has(i) ? find : null} lines=${lines} player=${player} pictures=${pictures} lang=${t('doubtful')} />`)}
      ${rows.length < total && html`<p class="dim">${t('loading')}</p>`}
    </div>`
}
