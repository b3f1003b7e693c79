// Hits of a search.
import { html, Icon, Kind, Doubts, Notes, Trouble, clock, marked, t, wordsOf, useRef, useEffect } from './core.js'
import { momentUrl, moreHits, results, search, thread } from './asking.js'
import { Answers, Offer, hide } from './answer.js'
import { route } from './place.js'

// Answer and hits of the whole archive.
export function Results() {
  return html`<div class=${`results ${thread.value ? 'two' : ''}`}>
    ${thread.value && html`<div class="left"><${Answers} /></div>`}
    <section class="right" aria-labelledby="hits-title"><${Hits} /></section></div>`
}

export function Hits({ inVideo = false }) {
  const now = results.value
  if (!now) return null
  const { data } = now
  return html`
    <div class="row-head"><h2 id="hits-title">${data ? t('hits', { n: data.hits.length }) + (data.next ? '+' : '') : t('searching')}</h2><${Offer} /></div>
    ${now.state === 'error' && html`<${Trouble} error=${now.error} retry=${() => search(route.peek(), true)} />`}
    ${now.state === 'loading' && html`<${Skeletons} />`}
    ${data && html`<${Notes} notes=${data.notes} />
      ${data.hits.length === 0 && html`<div class="empty"><p>${t('noHits')}</p><p class="dim">${t('noHitsHint')}</p></div>`}
      <ol class="hits">${data.hits.map(hit => html`<${Hit} key=${`${hit.video} ${hit.kind} ${hit.start}`} hit=${hit} inVideo=${inVideo} query=${data.query} />`)}</ol>
      ${data.next && html`<${More} act=${moreHits} busy=${now.state === 'more'} />`}`}`
}

function Hit({ hit, inVideo, query }) {
  const words = wordsOf(query)
  return html`<li><a class="hit" href=${momentUrl(hit.video, hit.start, hit.end)}>
    <span class="thumb">${hit.frame_url ? html`<img src=${`${hit.frame_url}&w=320`} alt="" loading="lazy" decoding="async" onError=${hide} />` : html`<${Icon} name="said" />`}<time>${clock(hit.start)}</time></span>
    <span class="body">
      <span class="meta"><${Kind} kind=${hit.kind} />${!inVideo && html`<span class="name">${hit.name}</span>`}<${Doubts} doubts=${hit.doubts} /></span>
      ${hit.kind !== 'frame' && hit.before && html`<span class="context">${hit.before}</span>`}
      <span class="line">${hit.speaker && html`<b>${hit.speaker}: </b>`}${marked(hit.text, words)}</span>
      ${hit.kind !== 'frame' && hit.after && html`<span class="context">${hit.after}</span>`}
    </span></a></li>`
}

export function More({ act, busy, label }) {
  const button = useRef(null)
  useEffect(() => {
    const watch = new IntersectionObserver(seen => { if (seen.some(s => s.isIntersecting)) act() }, { rootMargin: '600px' })
    watch.observe(button.current)
    return () => watch.disconnect()
  }, [act, busy])
  return html`<p class="more"><button type="button" class="quiet" ref=${button} disabled=${busy} onClick=${act}>${busy ? t('loading') : label || t('more')}</button></p>`
}

function Skeletons() {
  return html`<div class="hits" aria-hidden="true">${[1, 2, 3, 4].map(() => html`<div class="hit skeleton"><span class="thumb" /><span class="body"><i /><i /></span></div>`)}</div>`
}
