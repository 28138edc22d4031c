// What is wrong with a page for people, keyboards and screen readers: a list of sentences.
() => {
  const wrong = [], say = (what, el) => wrong.push(what + (el ? ': ' + el.outerHTML.slice(0, 140) : ''));
  const all = (css, of) => [...(of || document).querySelectorAll(css)];
  const shown = (el) => {
    const box = el.getBoundingClientRect(), css = getComputedStyle(el);
    return box.width > 1 && box.height > 1 && css.visibility !== 'hidden' && css.display !== 'none' && css.opacity !== '0';
  };
  const name = (el) => (el.getAttribute('aria-label') || all('title', el).map((t) => t.textContent).join('') ||
    (el.labels && [...el.labels].map((l) => l.textContent).join('')) || el.textContent || el.title || '').trim();

  if (document.documentElement.scrollWidth > innerWidth) {
    const far = all('main *').find((el) => shown(el) && el.getBoundingClientRect().right > innerWidth + 1 &&
      !el.closest('.wide, .channel, .plot, .tabs, pre'));
    say('it is wider than the window', far);
  }
  if (!document.documentElement.lang) say('no language');
  if (!document.title.trim()) say('no title');
  for (const css of ['main', 'nav[aria-label]', 'h1', 'a.skip[href="#main"]', 'header']) {
    if (!document.querySelector(css)) say('there is no ' + css);
  }
  if (all('h1').length > 1) say('more than one h1');
  let level = 0;
  for (const h of all('main h1, main h2, main h3, main h4')) {
    const now = Number(h.tagName[1]);
    if (now > level + 1) say('a heading of level ' + now + ' comes after one of level ' + level, h);
    level = now;
  }
  const ids = all('[id]').map((el) => el.id), twice = ids.filter((id, i) => ids.indexOf(id) !== i);
  if (twice.length) say('an id stands twice: ' + twice.slice(0, 3));
  all('a[href], button, summary').filter(shown).forEach((el) => { if (!name(el)) say('it has no name', el); });
  all('input:not([type=hidden]), select, textarea').forEach((el) => { if (!name(el)) say('a field without a label', el); });
  all('svg, img').filter((el) => shown(el) && !el.closest('.plot, #js-plotly-tester, [aria-hidden=true]')).forEach((el) => {
    if (!el.getAttribute('aria-label') && !el.getAttribute('alt') && el.getAttribute('aria-hidden') !== 'true') {
      say('a picture without words', el);
    }
  });
  all('[role=img]').forEach((el) => { if (!el.getAttribute('aria-label')) say('a figure without words', el); });
  for (const attr of ['aria-describedby', 'aria-labelledby', 'aria-controls']) {
    all('[' + attr + ']').forEach((el) => {
      if (!document.getElementById(el.getAttribute(attr))) say(attr + ' leads nowhere', el);
    });
  }
  all('table').filter(shown).forEach((t) => {
    if (!t.closest('.report') && !t.caption) say('a table without a caption', t);
    if (t.tHead && all('th', t.tHead).some((h) => h.tagName !== 'TH')) say('a table without headers', t);
  });
  all('[aria-sort]').forEach((h) => {
    if (!['none', 'ascending', 'descending'].includes(h.getAttribute('aria-sort'))) say('no such order', h);
  });
  all('[tabindex]').forEach((el) => { if (Number(el.getAttribute('tabindex')) > 0) say('it is out of order', el); });

  // Contrast, after WCAG 2: 4.5 to 1, of large text 3 to 1.
  const parse = (c) => {
    const m = c.match(/[\d.]+/g);
    if (!m) return [0, 0, 0, 0];
    const n = m.map(Number), unit = c.startsWith('color(srgb') ? 255 : 1;
    return [n[0] * unit, n[1] * unit, n[2] * unit, n[3] === undefined ? 1 : n[3]];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const ground = (el) => {
    const layers = [];
    for (let e = el; e; e = e.parentElement) {
      const css = getComputedStyle(e), c = parse(css.backgroundColor);
      if (c[3] > 0) layers.push(c);
      if (c[3] === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => { const s = v / 255; return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const seen = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, el = text.parentElement;
    if (!text.textContent.trim() || seen.has(el) || !shown(el)) continue;
    if (el.closest('script, style, .plot, svg, [disabled], option, .skip, [aria-hidden=true]')) continue;
    seen.add(el);
    const css = getComputedStyle(el), under = ground(el), ink = over(parse(css.color), under);
    const [a, b] = [light(ink), light(under)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(css.fontSize), large = size >= 24 || (size >= 18.66 && Number(css.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) say('contrast of ' + ratio.toFixed(2) + ' (' + css.color + ')', el);
  }
  return [...new Set(wrong)].slice(0, 12);
}
