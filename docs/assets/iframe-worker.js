// Search in pages that are opened from a folder: a browser starts no worker there, so the theme's
// own runs in a frame of the page. Its name tells the theme's plugin to fetch no other.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.waiting = [];
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.documentElement.append(frame);
      this.inner = frame.contentWindow;
      // what the worker says goes to the page, not to the frame itself
      this.inner.postMessage = data => this.say(this, data);
      this.inner.importScripts = (...addresses) => Promise.all(addresses.map(one => this.load(one)));
      this.load(String(address)).then(() => {
        this.waiting.forEach(data => this.say(this.inner, data));
        this.waiting = null;
      });
    }
    say(target, data) {
      const event = new MessageEvent("message", { data });
      target.dispatchEvent(event);
      if (target === this && this.onmessage) this.onmessage(event);
    }
    load(address) {
      return new Promise((done, failed) => {
        const script = this.inner.document.createElement("script");
        Object.assign(script, { src: address, onload: done, onerror: failed });
        this.inner.document.documentElement.append(script);
      });
    }
    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.say(this.inner, data);
    }
  };
}
