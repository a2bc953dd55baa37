// @ts-check
// The place where one image is large: zoom, pan and turn, by key, wheel and hand.

/** @param {HTMLElement} stage */
export function staged(stage) {
  let scale = 1, x = 0, y = 0, quarter = 0;
  const place = () => {
    const image = document.getElementById("large");
    if (image) image.style.transform = scale === 1 && !x && !y && !quarter ? "" : `translate(${x}px, ${y}px) scale(${scale}) rotate(${quarter * 90}deg)`;
  };
  const whole = () => { scale = 1; x = 0; y = 0; quarter = 0; place(); };
  const zoom = (/** @type {number} */ by) => { scale = Math.min(12, Math.max(1, scale * by)); if (scale === 1) { x = 0; y = 0; } place(); };
  const pan = (/** @type {number} */ dx, /** @type {number} */ dy) => { x += dx; y += dy; place(); };
  const turn = () => { quarter = (quarter + 1) % 4; place(); };
  stage.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2); }, { passive: false });
  stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); });
  stage.addEventListener("pointermove", (event) => { if (event.buttons === 1) pan(event.movementX, event.movementY); });
  return { whole, zoom, pan, turn };
}
