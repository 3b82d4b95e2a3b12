-- Posts the body that stands behind the URL, as XML, with the `Authorization` that stands behind that.
function init(arguments)
   wrk.method = "POST"
   wrk.body = arguments[1]
   wrk.headers["Content-Type"] = "application/xml"
   wrk.headers["Authorization"] = arguments[2]
end
