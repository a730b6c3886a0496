import { render } from 'preact';
import './styles/tokens.css';
import './styles/base.css';
import './styles/layout.css';
import './styles/room.css';
import { App } from './ui/app';

const root = document.getElementById('app');
if (root) render(<App />, root);
