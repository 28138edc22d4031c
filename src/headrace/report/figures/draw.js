(function () {
  // Plotly is large: it is read when a figure is near what is seen, and else when there is nothing to do.
  const packed = document.getElementById('plotly'), served = document.currentScript.dataset.plotly;
  const unpacked = async () => {
    const bytes = Uint8Array.from(atob(packed.textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
    (0, eval)(await new Response(stream).text());
    packed.remove();
  };
  const fetched = () => new Promise((done, fail) => {
    const script = document.createElement('script');
    script.src = served;
    script.onload = done;
    script.onerror = () => fail(new Error('Plotly could not be read'));
    document.head.append(script);
  });
  const boxes = () => Array.from(document.querySelectorAll('.plot'));
  let reading = null;
  const plotly = () => {
    reading = reading || (packed ? unpacked() : fetched()).catch((error) => {
      const said = packed ? 'This figure needs a browser of 2023 or newer.' : 'This figure needs a script that could not be read.';
      boxes().forEach((box) => box.insertAdjacentText('afterbegin', said));
      throw error;
    });
    return reading;
  };
  const dark = window.matchMedia('(prefers-color-scheme: dark)');
  const colours = () => {
    const css = getComputedStyle(document.documentElement);
    const ink = css.getPropertyValue('--ink').trim(), line = css.getPropertyValue('--line').trim();
    const axis = {gridcolor: line, zerolinecolor: line, linecolor: line};
    return {ink: ink, axis: axis};
  };
  // On a phone names leave room for what they name.
  const plain = (t) => t.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
  const marked = (t) => t.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const cut = (name) => {
    const said = plain(name);
    return said.length <= 18 ? name : marked(said.slice(0, 8) + '…' + said.slice(-9));
  };
  const narrow = (layout, data) => {
    ['xaxis', 'yaxis', 'yaxis2'].filter((k) => layout[k]).forEach((k) => {
      layout[k].tickfont = Object.assign({}, layout[k].tickfont, {size: 10});
      if (layout[k].title) layout[k].title = Object.assign({}, layout[k].title, {font: {size: 11}});
    });
    const down = layout.yaxis;
    if (down.type === 'category') {
      const names = Array.from(new Set(data.flatMap((t) => (t.y || []))));
      layout.yaxis = Object.assign({}, down, {tickvals: names, ticktext: names.map((n) => cut(String(n)))});
    } else if (down.ticktext) {
      layout.yaxis = Object.assign({}, down, {ticktext: down.ticktext.map(cut)});
    }
  };
  const draw = (box, width) => {
    box.figure = box.figure || JSON.parse(box.querySelector('script').textContent);
    const c = colours(), layout = Object.assign({}, box.figure.layout);
    layout.paper_bgcolor = layout.plot_bgcolor = 'rgba(0,0,0,0)';
    layout.font = Object.assign({}, layout.font, {color: c.ink, family: 'system-ui, sans-serif'});
    Object.keys(layout).filter((k) => /^[xy]axis/.test(k)).concat(['xaxis', 'yaxis']).forEach((k) => {
      layout[k] = Object.assign({}, c.axis, layout[k]);
    });
    if (box.clientWidth < 560) narrow(layout, box.figure.data);
    layout.autosize = true;
    layout.height = box.clientHeight;
    if (width) layout.width = width;
    Plotly.react(box, box.figure.data, layout, {responsive: true, displaylogo: false, displayModeBar: false});
  };
  // What is folded away, or far below, is drawn when it comes near: a page is there before its figures.
  const near = new IntersectionObserver(async (found) => {
    const mine = found.filter((f) => f.isIntersecting).map((f) => f.target);
    if (!mine.length) return;
    mine.forEach((box) => near.unobserve(box));
    await plotly();
    for (const box of mine) {
      draw(box);
      await new Promise((next) => setTimeout(next, 0));
    }
  }, {rootMargin: '300px 0px'});
  const fresh = () => {
    near.disconnect();
    boxes().filter((box) => !box.figure).forEach((box) => near.observe(box));
  };
  const again = () => boxes().filter((box) => box.figure && box.clientWidth).forEach((box) => draw(box));
  const paper = () => {
    document.querySelectorAll('details').forEach((d) => { d.dataset.was = d.open ? 'open' : ''; d.open = true; });
    if (!window.Plotly) return;
    boxes().filter((box) => box.clientWidth).forEach((box) => draw(box, box.closest('.two') ? 330 : 680));
  };
  const screen = () => {
    document.querySelectorAll('details').forEach((d) => { d.open = d.dataset.was === 'open'; });
    again();
  };
  window.addEventListener('beforeprint', paper);
  window.addEventListener('afterprint', screen);
  dark.addEventListener('change', again);
  document.addEventListener('headrace:drawn', () => { again(); fresh(); });
  fresh();
  const idle = window.requestIdleCallback || ((work) => setTimeout(work, 500));
  window.addEventListener('load', () => idle(() => { if (boxes().length) plotly(); }));
})();
