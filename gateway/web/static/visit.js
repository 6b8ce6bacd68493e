// Makes photos small before they are sent, and sends a form once. Everything works without it.
"use strict";
(() => {
  const LONGEST_SIDE = 1600;
  const SMALL = 400000; // bytes that are not worth the work
  const form = document.querySelector("form");
  let working = Promise.resolve();

  const shrink = async (input) => {
    const file = input.files[0];
    if (!file || file.size < SMALL || !window.createImageBitmap || !window.DataTransfer) return;
    try {
      const image = await createImageBitmap(file, { imageOrientation: "from-image" });
      const scale = Math.min(1, LONGEST_SIDE / Math.max(image.width, image.height));
      const canvas = document.createElement("canvas");
      canvas.width = Math.round(image.width * scale);
      canvas.height = Math.round(image.height * scale);
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      const small = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.75));
      if (!small || small.size >= file.size) return;
      const list = new DataTransfer();
      list.items.add(new File([small], "photo.jpg", { type: "image/jpeg" }));
      input.files = list.files;
    } catch {
      // The browser cannot read it: it is sent as it is.
    }
  };

  for (const input of document.querySelectorAll("[type=file]")) {
    input.addEventListener("change", () => { working = working.then(() => shrink(input)); });
  }
  if (form) {
    const button = form.querySelector(".send");
    const words = button.textContent;
    let isSent = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (isSent) return;
      isSent = true;
      button.textContent = form.dataset.sending || words;
      working.then(() => form.submit());
    });
    // Back from the next page: it may be sent again, with what was filled in.
    window.addEventListener("pageshow", () => {
      isSent = false;
      button.textContent = words;
    });
  }
})();
