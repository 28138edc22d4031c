// What is wrong with a page and axe does not look for: a list of sentences.
() => {
  const wrong = [], say = (what, el) => wrong.push(what + (el ? ': ' + el.outerHTML.slice(0, 140) : ''));
  const all = (css) => [...document.querySelectorAll(css)];
  const shown = (el) => el.checkVisibility({visibilityProperty: true, opacityProperty: true});

  if (document.documentElement.scrollWidth > innerWidth) {
    const far = all('main *').find((el) => shown(el) && el.getBoundingClientRect().right > innerWidth + 1 &&
      !el.closest('.wide, .channel, .plot, .tabs, pre'));
    say('it is wider than the window', far);
  }
  const ids = all('[id]').map((el) => el.id), twice = ids.filter((id, i) => ids.indexOf(id) !== i);
  if (twice.length) say('an id stands twice: ' + twice.slice(0, 3));
  all('table').filter((t) => shown(t) && !t.closest('.report') && !t.caption).forEach((t) => say('a table without a caption', t));
  all('.plot').filter((b) => b.clientWidth && !b.querySelector('.main-svg')).forEach((b) => say('a figure that is not drawn', b));

  // Words that something else lies on.
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), range = document.createRange();
  while (walker.nextNode()) {
    const text = walker.currentNode, el = text.parentElement;
    if (!text.textContent.trim() || !shown(el) || el.closest('script, style, .plot, svg, option, select, .skip, .hidden')) continue;
    range.selectNodeContents(text);
    const box = range.getClientRects()[0];
    if (!box || box.width < 2 || box.height < 2) continue;
    const x = box.left + box.width / 2, y = box.top + box.height / 2;
    let frame = el;
    while (frame && !/auto|scroll|hidden/.test(getComputedStyle(frame).overflowX + getComputedStyle(frame).overflowY)) frame = frame.parentElement;
    const seen = frame && frame.getBoundingClientRect();
    if (seen && (x < seen.left || x > seen.right || y < seen.top || y > seen.bottom)) continue;
    const top = document.elementFromPoint(x, y);
    if (top && !el.contains(top) && !top.contains(el)) say('covered by ' + top.outerHTML.slice(0, 80), el);
  }
  return [...new Set(wrong)].slice(0, 12);
}
