# Flattens a JSON text into lines of path, tab, value: {"a": {"b": ["x"]}} becomes a.b.0<tab>x. Escapes: \n, \t, \" and \\.
{ text = text $0 "\n" }
END { position = 1; value("") }

function skip() { while (substr(text, position, 1) ~ /[ \t\r\n,:]/) position++ }

function quoted(   out, char) {
    position++
    while (position <= length(text) && (char = substr(text, position, 1)) != "\"") {
        if (char == "\\") {
            position++
            char = substr(text, position, 1)
            if (char == "n") char = "\n"
            else if (char == "t") char = "\t"
        }
        out = out char
        position++
    }
    position++
    return out
}

function joined(path, key) { return path == "" ? key : path "." key }

function value(path,   char, item, word) {
    skip()
    char = substr(text, position, 1)
    if (char == "{" || char == "[") {
        position++
        for (item = 0; position <= length(text); item++) {
            skip()
            if (substr(text, position, 1) ~ /[]}]/) { position++; return }
            value(joined(path, char == "{" ? quoted() : item))
        }
    } else if (char == "\"") {
        print path "\t" quoted()
    } else {
        while (substr(text, position, 1) ~ /[^] ,}\n]/) word = word substr(text, position++, 1)
        print path "\t" word
    }
}
