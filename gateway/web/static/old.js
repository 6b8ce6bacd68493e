// For a browser too old for duty.js, such as a wall tablet of years ago: it asks every 3 s, and says
// when nothing comes. A page that stood still would go on saying "normal". Old words on purpose.
(function () {
  "use strict";
  var SILENT_MS = 12000, BROKEN_MS = 4000, EVERY_MS = 3000;
  var heard = new Date().getTime(), asked = null, isBroken = false;

  function tell(isLost) {
    var lost = document.getElementById("lost");
    if (isLost) lost.removeAttribute("hidden"); else lost.setAttribute("hidden", "");
    document.body.className = isLost ? "is-lost" : "";
    var desk = document.getElementById("now").getElementsByTagName("div")[0];
    document.title = isLost ? lost.getElementsByTagName("h2")[0].firstChild.data : desk.getAttribute("data-title");
  }

  function ask() {
    if (window.isDutyRunning) return;
    var silent = new Date().getTime() - heard;
    var seconds = Math.floor(silent / 1000);
    document.getElementById("lost-for").innerHTML = seconds + " s";
    tell(silent > (isBroken ? BROKEN_MS : SILENT_MS));
    var late = asked, request = asked = new XMLHttpRequest();
    if (late) late.abort();
    request.onreadystatechange = function () {
      if (request.readyState !== 4 || request !== asked || window.isDutyRunning) return;
      asked = null;
      isBroken = request.status !== 200;
      if (isBroken) return;
      document.getElementById("now").innerHTML = request.responseText;
      heard = new Date().getTime();
      tell(false);
    };
    request.open("GET", document.body.getAttribute("data-now"), true);
    request.send(null);
    window.setTimeout(ask, EVERY_MS);
  }

  window.setTimeout(ask, EVERY_MS);
})();
